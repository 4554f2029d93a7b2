package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof" // adds its addresses to http.DefaultServeMux
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// Bounds of what a client of the control plane may use.
const (
	headMax        = 16 << 10 // bytes
	connectionsMax = 64       // connections of a listener at a time (see boundedListener)
	scrapesMax     = 4        // requests for /metrics at a time; further ones get 503
	// headTimeout bounds the time to a request's first byte and to the end of its head.
	headTimeout = 5 * time.Second
	// activeMax is how long an answer keeps its connection while other clients wait for one.
	activeMax   = 2 * time.Second
	readTimeout = 10 * time.Second
	// writeTimeout bounds an answer. pprof's profiles set one of their own.
	writeTimeout = 30 * time.Second
	idleTimeout  = 2 * time.Minute
	scrapeMax    = 10 * time.Second
)

// Options are what the control plane tells, and how. Its functions are called from
// any number of goroutines at a time.
type Options struct {
	Version string
	// Snapshot returns what was counted so far. It may take seconds if a loop is stuck.
	Snapshot func() *Snapshot
	// Ready reports whether new clients are served: not before the server has
	// started, and not while it drains.
	Ready func() bool
	// Status returns what /status is to show, as encoding/json can write it.
	Status func() any
	// Hosts are the names that the control plane is asked by, beside addresses and localhost; *.example.org and *
	// are patterns.
	Hosts []string
	// Pprof adds /debug/pprof.
	Pprof bool
	Log   *zap.Logger // gets what goes wrong
	// Warn gets what may go wrong many times a second. It is to limit how often that is logged, and must not block.
	Warn func(what string, err error)
}

// Server is a control plane.
type Server struct {
	options Options
	http    *http.Server
	running sync.WaitGroup
	evicted atomic.Uint64 // connections closed to make room for others
}

// Start serves the control plane from those listeners, which it takes over, until Close.
func Start(listeners []net.Listener, o Options) *Server {
	s := &Server{options: o}
	// It gets a client's mistakes. There is no error: the level is fixed and exists.
	errorLog, _ := zap.NewStdLogAt(o.Log.Named("admin"), zap.DebugLevel)
	s.http = &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: headTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headMax,
		ErrorLog:          errorLog,
		ConnState:         connState,
		// "OPTIONS *" is refused like all others.
		DisableGeneralOptionsHandler: true,
	}
	for _, l := range listeners {
		s.running.Go(func() {
			if err := s.http.Serve(bounded(l, &s.evicted, o.Warn)); !errors.Is(err, http.ErrServerClosed) {
				o.Log.Error("the control plane has ended on one address", zap.Stringer("address", l.Addr()),
					zap.Error(err))
			}
		})
	}
	return s
}

// Close ends the control plane: what is being answered may finish within grace.
func (s *Server) Close(grace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close() // a profile, or a client that does not read
	}
	s.running.Wait()
	return err
}

// handler routes the addresses.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	registry := newRegistry(&s.options)
	registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "evhttpd_admin_connections_evicted_total",
		Help: "Connections to the control plane closed to make room for new ones: those that said nothing for longest.",
	}, func() float64 { return float64(s.evicted.Load()) }))
	mux.Handle("/metrics", promhttp.InstrumentMetricHandler(registry,
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{
			Registry:            registry,
			ErrorLog:            scrapeLog{s.options.Log},
			ErrorHandling:       promhttp.ContinueOnError,
			MaxRequestsInFlight: scrapesMax,
			Timeout:             scrapeMax,
			EnableOpenMetrics:   true,
		})))
	mux.HandleFunc("/healthz", s.healthz)
	mux.HandleFunc("/readyz", s.readyz)
	mux.HandleFunc("/status", s.status)
	mux.HandleFunc("/{$}", s.index)
	if s.options.Pprof {
		mux.Handle("/debug/pprof/", http.DefaultServeMux)
	}
	var names hosts
	for _, name := range s.options.Hosts {
		names = append(names, strings.ToLower(strings.TrimSuffix(name, ".")))
	}
	return readOnly(names.onlyFor(mux))
}

// scrapeLog passes on what client_golang complains of.
type scrapeLog struct{ log *zap.Logger }

func (l scrapeLog) Println(v ...any) {
	l.log.Error("a scrape of the metrics failed", zap.String("error", strings.TrimSuffix(fmt.Sprintln(v...), "\n")))
}

// readOnly refuses every method that could be meant to change something, and
// bodies, which nothing here reads.
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			w.Header().Set("Connection", "close")
			http.Error(w, "405: the control plane is only read, with GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// healthz answers whether the loops do.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	if c := s.options.Snapshot(); c.Silent > 0 {
		http.Error(w, fmt.Sprintf("%d of %d loops do not answer", c.Silent, c.Loops), http.StatusServiceUnavailable)
		return
	}
	text(w, "ok\n")
}

// readyz answers whether new clients are served.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if !s.options.Ready() {
		http.Error(w, "not ready: starting or draining", http.StatusServiceUnavailable)
		return
	}
	if n := s.options.Snapshot().Resting; n > 0 {
		http.Error(w,
			fmt.Sprintf("not ready: %d listeners cannot be accepted from just now; "+
				"the events say why, and it is tried again", n),
			http.StatusServiceUnavailable)
		return
	}
	text(w, "ready\n")
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	b, err := json.MarshalIndent(s.options.Status(), "", "  ")
	if err != nil {
		s.options.Log.Error("the status cannot be written", zap.Error(err))
		http.Error(w, "the status cannot be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n')) // the client is gone
}

func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	list := "/metrics\n/healthz\n/readyz\n/status\n"
	if s.options.Pprof {
		list += "/debug/pprof/\n"
	}
	text(w, list)
}

func text(w http.ResponseWriter, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(s)) // the client is gone
}
