package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

func (p *program) configCommand() *cobra.Command {
	cmd := group("config", "Show and change the cluster's configuration", "  holdfast config show\n  holdfast config set cooldown=10m balance_moves_max=8")
	a := p.accessTo(cmd)
	cmd.AddCommand(configShowCommand(a), configSetCommand(a), configResetCommand(a))
	return cmd
}

func configShowCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "Show the configuration",
		Example: "  holdfast config show",
		Args:    takes(),
	}
	at := level(cmd)
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, _ []string) error {
		c, err := s.Config(cmd.Context(), at())
		if err != nil {
			return err
		}
		return s.printConfig(c)
	})
	return cmd
}

func configSetCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "set KEY=VALUE…",
		Short:   "Change keys of the configuration, while the cluster runs",
		Example: "  holdfast config set cooldown=10m balance_moves_max=8 --reason \"calmer at night\"",
		Args:    takesFrom(1, "KEY=VALUE…"),
	}
	why := reason(cmd)
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, args []string) error {
		keys := map[string]any{}
		for _, word := range args {
			key, value, ok := strings.Cut(word, "=")
			if !ok || key == "" {
				return usage("%q is not KEY=VALUE; holdfast config show lists the keys", word)
			}
			keys[key] = configValue(key, value)
		}
		return s.patchConfig(cmd, keys, *why)
	})
	return cmd
}

func configResetCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "reset KEY…",
		Short:   "Set keys of the configuration back to their defaults",
		Example: "  holdfast config reset cooldown --reason \"as before\"",
		Args:    takesFrom(1, "KEY…"),
	}
	why := reason(cmd)
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, args []string) error {
		keys := map[string]any{}
		for _, key := range args {
			keys[key] = nil
		}
		return s.patchConfig(cmd, keys, *why)
	})
	return cmd
}

// configValue is a number where the text is one, and a string otherwise.
func configValue(key, text string) any {
	if n, err := parseBytes(text); err == nil && (strings.HasSuffix(key, "_size_max") || strings.HasSuffix(key, "_bandwidth")) {
		return n
	}
	var n json.Number
	if json.Unmarshal([]byte(text), &n) == nil && !strings.HasPrefix(text, `"`) {
		return n
	}
	return text
}

func (s *session) patchConfig(cmd *cobra.Command, keys map[string]any, why string) error {
	c, err := s.PatchConfig(cmd.Context(), keys, client.Because(why))
	if err != nil {
		return err
	}
	return s.printConfig(c)
}

// printConfig lists the keys in the order of the API.
func (s *session) printConfig(c *api.Config) error {
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("the configuration cannot be shown: %w", err)
	}
	return s.print(func(w io.Writer) {
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		if _, err := dec.Token(); err != nil { // the opening brace
			return
		}
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return
			}
			value, err := dec.Token()
			if err != nil {
				return
			}
			fmt.Fprintf(w, "%v\t%v\n", key, value)
		}
	})
}
