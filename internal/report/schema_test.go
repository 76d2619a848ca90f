package report

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgtest/golden"
	"github.com/pgleap/pgleap/internal/upgrade"
)

const schemaFile = "../../docs/precheck-report.schema.json"

// The published schema is that of the types, with what their comments say.
func TestSchemaIsUpToDate(t *testing.T) {
	text, err := json.MarshalIndent(publishedSchema(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, schemaFile, string(text)+"\n")
}

// What is written is what the schema says, and the schema refuses what is not.
func TestDocumentsMatchTheSchema(t *testing.T) {
	published, err := json.Marshal(publishedSchema(t))
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(published, &root); err != nil {
		t.Fatal(err)
	}
	read := func(text string) any {
		t.Helper()
		var document any
		if err := json.Unmarshal([]byte(text), &document); err != nil {
			t.Fatal(err)
		}
		return document
	}
	for name, r := range map[string]upgrade.Report{"blocked": blocked(), "passed": passed(), "in place": inPlace(), "not complete": unknown()} {
		if wrong := violates(root, root, read(written(t, JSON, r, Style{})), "$"); len(wrong) > 0 {
			t.Errorf("%s: %v", name, wrong)
		}
	}
	good := written(t, JSON, passed(), Style{})
	for what, change := range map[string][2]string{
		"a field that nobody knows": {`"passed":`, `"passing":`}, "another severity": {`"warning"`, `"grave"`},
		"a number as text": {`"number": 4`, `"number": "4"`}, "another mode": {`"zero-downtime"`, `"fast"`}, "no date": {`"2026-03-01T11:58:30Z"`, `"1 March"`},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good {
			t.Fatalf("%s: nothing was changed", what)
		}
		if len(violates(root, root, read(bad), "$")) == 0 {
			t.Errorf("%s: the schema takes it", what)
		}
	}
}

// enums are the types whose values are listed.
func enums() map[reflect.Type][]string {
	return map[reflect.Type][]string{
		reflect.TypeFor[upgrade.Severity](): {string(upgrade.Blocker), string(upgrade.Warning), string(upgrade.Info)},
		reflect.TypeFor[upgrade.Mode]():     {string(upgrade.InPlace), string(upgrade.BlueGreen), string(upgrade.ZeroDowntime), string(upgrade.Logical)},
	}
}

// generator makes a JSON Schema (draft 2020-12) of Go types.
type generator struct {
	comments map[string]string // by Type.Field
	defs     map[string]any
}

func publishedSchema(t *testing.T) map[string]any {
	t.Helper()
	g := generator{comments: fieldComments(t, ".", "../upgrade"), defs: map[string]any{}}
	root := g.object(reflect.TypeFor[Document]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "pgleap precheck report"
	root["$defs"] = g.defs
	return root
}

func (g generator) object(goType reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, field := range reflect.VisibleFields(goType) {
		name, option, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous || name == "-" || field.Type == reflect.TypeFor[upgrade.PackedParts]() {
			continue // the fields of an embedded type are promoted; the parts are not shown
		}
		owner := goType.FieldByIndex(field.Index[:1]).Type
		if len(field.Index) == 1 {
			owner = goType
		}
		property := g.schema(field.Type)
		if comment := g.comments[owner.Name()+"."+field.Name]; comment != "" {
			property["description"] = comment
		}
		properties[name] = property
		if option != "omitempty" && option != "omitzero" {
			required = append(required, name)
		}
	}
	slices.Sort(required)
	return map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
}

func (g generator) schema(goType reflect.Type) map[string]any {
	switch {
	case goType == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case goType == reflect.TypeFor[upgrade.VersionNum]():
		return map[string]any{"type": "integer", "description": "PostgreSQL's server_version_num, such as 170011."}
	case enums()[goType] != nil:
		return map[string]any{"type": "string", "enum": enums()[goType]}
	}
	switch goType.Kind() {
	case reflect.Pointer:
		return g.schema(goType.Elem())
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": g.schema(goType.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": g.schema(goType.Elem())}
	case reflect.Struct:
		name := goType.Name()
		if _, known := g.defs[name]; !known {
			g.defs[name] = nil // against going round in circles
			g.defs[name] = g.object(goType)
		}
		return map[string]any{"$ref": "#/$defs/" + name}
	}
	panic(fmt.Sprintf("no JSON Schema for %s", goType))
}

// fieldComments reads what is written above or beside the fields of structs.
func fieldComments(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	comments := map[string]string{}
	for _, dir := range dirs {
		packages, err := parser.ParseDir(token.NewFileSet(), dir, nil, parser.ParseComments) //nolint:staticcheck // build tags do not matter here
		if err != nil {
			t.Fatal(err)
		}
		for _, pkg := range packages {
			ast.Inspect(pkg, func(n ast.Node) bool {
				if spec, ok := n.(*ast.TypeSpec); ok {
					if structure, ok := spec.Type.(*ast.StructType); ok {
						addComments(comments, spec.Name.Name, structure)
					}
				}
				return true
			})
		}
	}
	return comments
}

func addComments(comments map[string]string, owner string, structure *ast.StructType) {
	for _, field := range structure.Fields.List {
		text := oneLine(field.Doc.Text() + " " + field.Comment.Text())
		for _, name := range field.Names {
			comments[owner+"."+name.Name] = text
		}
	}
}

// violates tells where a document is not as a schema says. It knows the words that generator uses.
func violates(root, schema map[string]any, document any, at string) []string {
	if ref, ok := schema["$ref"].(string); ok {
		schema = root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	}
	wrong := func(what string) []string { return []string{fmt.Sprintf("%s: %v is no %s", at, document, what)} }
	switch schema["type"] {
	case "object":
		object, ok := document.(map[string]any)
		if !ok {
			return wrong("object")
		}
		return violatesObject(root, schema, object, at)
	case "array":
		list, ok := document.([]any)
		if !ok {
			return wrong("array")
		}
		var all []string
		for i, item := range list {
			all = append(all, violates(root, schema["items"].(map[string]any), item, fmt.Sprintf("%s[%d]", at, i))...)
		}
		return all
	case "string":
		return violatesString(schema, document, wrong)
	case "integer", "number":
		if n, ok := document.(float64); !ok || schema["type"] == "integer" && n != float64(int64(n)) {
			return wrong("number")
		}
	case "boolean":
		if _, ok := document.(bool); !ok {
			return wrong("boolean")
		}
	}
	return nil
}

func violatesObject(root, schema, object map[string]any, at string) []string {
	var wrong []string
	properties, _ := schema["properties"].(map[string]any)
	for name, value := range object {
		if property, ok := properties[name].(map[string]any); ok {
			wrong = append(wrong, violates(root, property, value, at+"."+name)...)
		} else if others, ok := schema["additionalProperties"].(map[string]any); ok {
			wrong = append(wrong, violates(root, others, value, at+"."+name)...)
		} else {
			wrong = append(wrong, at+"."+name+" is unknown")
		}
	}
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := object[name.(string)]; !ok {
			wrong = append(wrong, fmt.Sprintf("%s.%s is missing", at, name))
		}
	}
	return wrong
}

var dateTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$`)

func violatesString(schema map[string]any, document any, wrong func(string) []string) []string {
	text, ok := document.(string)
	if !ok {
		return wrong("string")
	}
	if schema["format"] == "date-time" && !dateTime.MatchString(text) {
		return wrong("date-time")
	}
	if values, ok := schema["enum"].([]any); ok && !slices.Contains(values, any(text)) {
		return wrong("value of the list")
	}
	return nil
}
