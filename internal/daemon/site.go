package daemon

import (
	"fmt"

	"go.uber.org/zap"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/accesslog"
	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/site"
	"github.com/evhttpd/evhttpd/internal/static"
)

// etags are the values of etag:.
var etags = map[string]static.ETag{"mtime": static.ETagMtime, "content": static.ETagContent, "off": static.ETagOff}

// openSite opens the configured root, with a cache of its own.
func openSite(cfg *config.Config, events *zap.Logger) (*site.Router, error) {
	cache := static.NewCache(static.Limits{
		Memory:      cfg.Cache.Memory,
		File:        cfg.Cache.File,
		Descriptors: cfg.Cache.Descriptors,
	})
	files := static.Options{
		Root:     cfg.Sites[0].Root,
		Index:    cfg.Sites[0].Index,
		Listing:  cfg.Sites[0].Listing,
		Hide:     cfg.Sites[0].Hide,
		ETag:     etags[cfg.Sites[0].ETag],
		Ranges:   cfg.Limits.Ranges,
		Siblings: cfg.Sites[0].Precompressed,
		Compress: cfg.Sites[0].Compress,
		Server:   cfg.ServerHeader,
		Valid:    cfg.Cache.Valid,
		Warn: func(msg, path string) {
			events.Warn(msg, zap.String("path", path))
		},
	}
	return site.New(site.Options{
		Sites:   []site.Site{{Hosts: cfg.Sites[0].Hosts, Static: files}},
		Cache:   cache,
		Proxies: conn.NewNetworks(cfg.TrustedProxies),
	})
}

// openAccessLog opens the access log. Lines that are lost are an event.
func openAccessLog(cfg config.AccessLog, events *zap.Logger) (*accesslog.Log, error) {
	format, err := accesslog.ParseFormat(cfg.Format)
	if err != nil {
		return nil, &ConfigError{fmt.Errorf("access_log.format: %w", err)}
	}
	log, err := accesslog.Open(cfg.Output, accesslog.Options{
		Format: format,
		OnError: func(err error) {
			events.Error("access lines were lost", zap.String("access_log", cfg.Output), zap.Error(err))
		},
	})
	if err != nil {
		return nil, fmt.Errorf("access log: %w", err)
	}
	return log, nil
}
