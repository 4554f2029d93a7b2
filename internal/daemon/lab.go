package daemon

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/config"
)

// labVariable is how `evhttpd bench --classic` has a server that it starts do what none
// should, to show what that costs: NAME=NUMBER, with commas between several.
//
//	accept-batch=N  connections accepted before others have their turn (io_models with loops); 0: all that wait
//	workers=0       no worker pool: what may block runs on the loop, and files are sent cold
//
// They are no keys of the configuration, since no operator can gain by them.
const labVariable = "EVHTTPD_LAB"

// lab is what is said there.
type lab struct {
	acceptBatch int  // as reactor.Options have it
	inPlace     bool // there are no workers
}

// readLab reads the variable, and removes it: who is started by this process is as all others are.
func readLab() (lab, error) {
	value, ok := os.LookupEnv(labVariable)
	if !ok {
		return lab{}, nil
	}
	l, err := parseLab(value)
	if err != nil {
		return l, &config.UnusableError{Err: fmt.Errorf("%s=%q: %w", labVariable, value, err)}
	}
	return l, os.Unsetenv(labVariable)
}

func parseLab(value string) (lab, error) {
	var l lab
	for _, setting := range strings.Split(value, ",") {
		name, text, _ := strings.Cut(setting, "=")
		n, err := strconv.ParseUint(text, 10, 31)
		switch {
		case name == "accept-batch" && err == nil:
			l.acceptBatch = int(n)
			if n == 0 {
				l.acceptBatch = math.MinInt
			}
		case name == "workers" && err == nil && n == 0:
			l.inPlace = true
		default:
			return lab{}, fmt.Errorf("%q: want accept-batch=NUMBER or workers=0, with commas between", setting)
		}
	}
	return l, nil
}

// workers is how many the pool is to have.
func (l lab) workers(configured int) int {
	if l.inPlace {
		return 0
	}
	return configured
}

// conn changes what connections are served with.
func (l lab) conn(c *conn.Config) *conn.Config {
	c.SendCold = l.inPlace
	return c
}
