package report

import (
	"fmt"
	"strings"

	"github.com/evhttpd/evhttpd/bench/results"
	"github.com/evhttpd/evhttpd/bench/stats"
	"github.com/evhttpd/evhttpd/bench/text"
)

// named is the most names that a sentence lists.
const named = 4

// summary says in two sentences what was found by the headline, CPU a request, and how far that can be trusted.
func summary(r *results.Results) []string {
	return []string{found(r), trust(r)}
}

// found says which subjects needed less and which more than the baseline.
func found(r *results.Results) string {
	better, worse := make(map[string]int), make(map[string]int)
	told := 0
	for i := range r.Cells {
		for n := range r.Cells[i].Rows {
			row := &r.Cells[i].Rows[n]
			switch row.Figures[results.CPU].Verdict {
			case results.Better:
				better[row.Subject]++
			case results.Worse:
				worse[row.Subject]++
			case results.Same:
			default:
				continue
			}
			told++
		}
	}
	if told == 0 {
		return "Nothing can be said of which model needs more CPU a request."
	}
	base := r.Subjects[0].Name
	least := "none needed less CPU a request than " + base
	if names := ranked(r, better); names != "" {
		least = names + " needed less CPU a request than " + base
	}
	most := "and none needed more"
	if names := ranked(r, worse); names != "" {
		most = names + " needed more"
	}
	sentence := fmt.Sprintf("Under %s, %s; %s.", text.Count(len(r.Cells), "load"), least, most)
	return strings.Replace(sentence, "; and none", ", and none", 1)
}

// ranked lists subjects, in the order of the tables, with the number of loads where there are several loads.
func ranked(r *results.Results, loads map[string]int) string {
	var names []string
	for i := range r.Subjects {
		name := r.Subjects[i].Name
		switch n := loads[name]; {
		case n == 0:
			continue
		case n < len(r.Cells):
			name += fmt.Sprintf(" (under %d of them)", n)
		}
		names = append(names, name)
	}
	if len(names) > named {
		return fmt.Sprintf("%s and %d others", strings.Join(names[:named-1], ", "), len(names)-named+1)
	}
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// trust says on what the verdicts rest.
func trust(r *results.Results) string {
	if r.Setup.Rounds < stats.RoundsMin {
		return fmt.Sprintf("No verdict is given: an interval of %s has %s confidence, and %d rounds are the least.",
			text.Count(r.Setup.Rounds, "round"), percent(stats.ConfidenceOf(max(r.Setup.Rounds, 1))), stats.RoundsMin)
	}
	widest, noisy := 1.0, 0
	for i := range r.Cells {
		if band := r.Cells[i].Band(r.Subjects, results.CPU); band > stats.BandMax {
			noisy++
		} else {
			widest = max(widest, band)
		}
	}
	if noisy == len(r.Cells) {
		return fmt.Sprintf("It was too noisy: under every load the same model measured twice differed by more than "+
			"%.0f %%.", 100*(stats.BandMax-1))
	}
	sentence := fmt.Sprintf("The same model measured twice differed by up to %.1f %%, so what differs by less is "+
		"called no difference", 100*(widest-1))
	if noisy > 0 {
		sentence += fmt.Sprintf("; %s too noisy to say anything", text.Count(noisy,
			"load")+map[bool]string{true: " was", false: " were"}[noisy == 1])
	}
	return sentence + "."
}
