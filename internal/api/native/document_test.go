package native

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/pgleap/pgleap/internal/report"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// shared are the types that the document describes and internal/upgrade defines.
var shared = map[string]any{
	"Instance": upgrade.Instance{}, "Window": upgrade.Window{}, "Hooks": upgrade.Hooks{}, "MissingBackup": upgrade.MissingBackup{}, "OpenFinding": upgrade.OpenFinding{},
	"Cluster": upgrade.Cluster{}, "Address": upgrade.Address{},
	"Endpoint": upgrade.Endpoint{}, "Task": upgrade.Task{}, "PhaseSpan": upgrade.PhaseSpan{},
	"Progress": upgrade.Progress{}, "Lag": upgrade.Lag{}, "Switchover": upgrade.Switchover{}, "ConsumerSlot": upgrade.ConsumerSlot{},
	"Rehearsal": upgrade.Rehearsal{}, "Verification": upgrade.Verification{}, "Difference": upgrade.Difference{}, "StepDuration": upgrade.StepDuration{}, "Try": upgrade.Try{}, "Plan": upgrade.Plan{},
	"Options": upgrade.Options{}, "Report": report.Document{}, "Finding": upgrade.Finding{}, "RemedySQL": upgrade.RemedySQL{},
	"Configuration": upgrade.Configuration{}, "ConfigurationChange": upgrade.ConfigurationChange{},
	"Estimate": upgrade.Estimate{}, "Comparison": upgrade.Comparison{}, "DurationCompared": upgrade.DurationCompared{},
}

type schema struct {
	GoType     string         `yaml:"x-go-type"`
	Type       string         `yaml:"type"`
	Required   []string       `yaml:"required"`
	Properties map[string]any `yaml:"properties"`
}

func readSchemas(t *testing.T) map[string]schema {
	t.Helper()
	var doc struct {
		Components struct {
			Schemas map[string]schema `yaml:"schemas"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(document, &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Components.Schemas
}

func TestDocumentDescribesTheTypesAsTheyAre(t *testing.T) {
	schemas := readSchemas(t)
	for name, value := range shared {
		got, isThere := schemas[name]
		if !isThere {
			t.Errorf("the document has no schema %s", name)
			continue
		}
		want := schemaOf(reflect.TypeOf(value))
		slices.Sort(got.Required)
		if diff := cmp.Diff(want.Required, got.Required); diff != "" {
			t.Errorf("required fields of %s (-Go +document):\n%s", name, diff)
		}
		if diff := cmp.Diff(names(want.Properties), names(got.Properties)); diff != "" {
			t.Errorf("fields of %s (-Go +document):\n%s", name, diff)
		}
	}
	for name, s := range schemas {
		if _, listed := shared[name]; (strings.HasPrefix(s.GoType, "upgrade.") || strings.HasPrefix(s.GoType, "report.")) && s.Type == "object" && !listed && name != "OptionsRequest" {
			t.Errorf("schema %s stands for %s but is not compared with it", name, s.GoType)
		}
	}
}

// schemaOf reads the fields of a struct: the required ones are those without omitempty.
func schemaOf(goType reflect.Type) schema {
	s := schema{Properties: map[string]any{}}
	for _, field := range reflect.VisibleFields(goType) {
		if field.Anonymous {
			continue // its fields are promoted
		}
		if field.Type == reflect.TypeFor[upgrade.PackedParts]() {
			continue // kept, and not shown
		}
		name, option, _ := strings.Cut(field.Tag.Get("json"), ",")
		s.Properties[name] = nil
		if option != "omitempty" {
			s.Required = append(s.Required, name)
		}
	}
	slices.Sort(s.Required)
	return s
}

func names(properties map[string]any) []string {
	all := make([]string, 0, len(properties))
	for name := range properties {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}
