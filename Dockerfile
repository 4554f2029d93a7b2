# A static binary on an empty image:
#
#   docker build -t evhttpd .
#   docker run --rm --read-only --cap-drop ALL -p 8080:8080 -v "$PWD:/srv:ro" evhttpd
#
# GO_IMAGE is the builder's base, where another registry or a local image is to serve.
ARG GO_IMAGE=docker.io/library/golang:1.26
FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /evhttpd ./cmd/evhttpd

FROM scratch
COPY --from=build /evhttpd /evhttpd
VOLUME ["/srv"]
EXPOSE 8080
USER 65532:65532
ENTRYPOINT ["/evhttpd"]
CMD ["serve", "/srv", "--listen", ":8080", "--listing", "off"]
