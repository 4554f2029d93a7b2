# A static binary on an empty image:
#
#   docker build -t evhttpd .
#   docker run --rm --read-only --cap-drop ALL -p 8080:8080 -v "$PWD:/srv:ro" evhttpd serve /srv --listing on
#
# Without a command it serves /srv and lists no folder. There is no volume: without -v there is nothing to serve, and
# it says so.
# What `evhttpd version` says is given to the build, which sees no .git:
#
#   docker build --build-arg VERSION=1.2.3 --build-arg COMMIT="$(git rev-parse HEAD)" -t evhttpd .
#
# With a configuration file: -v "$PWD/evhttpd.yaml:/evhttpd.yaml:ro" -e EVHTTPD_CONFIG=/evhttpd.yaml
# and the command `serve` behind the image's name. configs/compose.yaml has every limit.
#
# GO_IMAGE is the builder's base, where another registry or a local image is to serve.
ARG GO_IMAGE=docker.io/library/golang:1.26
FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION
ARG COMMIT
ARG DATE
RUN CGO_ENABLED=0 go build -trimpath -o /evhttpd \
	-ldflags="-s -w -X main.version=${VERSION} -X main.commit=${COMMIT} -X main.date=${DATE}" ./cmd/evhttpd

FROM scratch
COPY --from=build /evhttpd /evhttpd
EXPOSE 8080
# By number, so that Kubernetes' runAsNonRoot can tell that it is not root.
USER 65532:65532
# What is in flight may finish within 8 s (timeouts.drain), and Docker kills after 10.
STOPSIGNAL SIGTERM
# It reads EVHTTPD_CONFIG and EVHTTPD_LISTEN as the server does; another --listen of
# the command is to be given as the variable.
HEALTHCHECK --interval=10s --timeout=6s --start-period=5s CMD ["/evhttpd", "healthcheck"]
ENTRYPOINT ["/evhttpd"]
CMD ["serve", "/srv", "--listing", "off"]
