package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// completeWith registers how a shell completes the value of a flag.
func completeWith(c *cobra.Command, flag string, complete cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err) // the command has no such flag, or registers it twice
	}
}

// directories completes a name of a directory.
func directories(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// oneDirectory completes the only argument of a command, which is a directory.
func oneDirectory(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return directories(c, args, typed)
}

func completeDirectories(c *cobra.Command, flag string) { completeWith(c, flag, directories) }

// completeOne completes a flag that has one of names.
func completeOne(c *cobra.Command, flag string, names []string) {
	completeWith(c, flag, cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
}

// completeList completes a flag that has names with commas between them: the last, if it is none of those before.
func completeList(c *cobra.Command, flag string, names []string) {
	completeWith(c, flag, func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		before := typed[:strings.LastIndexByte(typed, ',')+1]
		var all []string
		for _, name := range names {
			if !strings.Contains(","+before, ","+name+",") {
				all = append(all, before+name)
			}
		}
		return all, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	})
}
