package upgrade

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// asBefore: messages that say what to write have taken the place of patterns, which say nothing.
const asBefore = "the pattern that it had before, as a rule with a message"

// excused are the demands on fields of earlier releases that are new, each with the reason why what was taken before is still taken.
var excused = map[string]string{
	`v1alpha1 AttributeMapping.spec.examples[].expect.groups[] has the rule self.matches('^[^\\x00-\\x1f\\x7f,]+$')`: asBefore,
	`v1alpha1 AttributeMapping.spec.profile[].attribute has the rule self.matches('^[a-z][a-zA-Z0-9]*$')`:            asBefore,
	`v1alpha1 AttributeMapping.spec.rules[].addGroups[] has the rule self.matches('^[^\\x00-\\x1f\\x7f,]+$')`:        asBefore,
	`v1alpha1 IdentityProvider.spec.displayName has the rule self.matches('^[^\\x00-\\x1f\\x7f]+$')`:                 asBefore,
	`v1alpha1 IdentityProvider.spec.saml.metadata.entityID has the rule self.matches('^\\S+$')`:                      asBefore,
	`v1alpha1 IdentityProvider.spec.saml.metadata.manual.entityID has the rule self.matches('^\\S+$')`:               asBefore,
	`v1alpha1 ServiceProvider.spec.access.rules[].groups[] has the rule self.matches('^[^\\x00-\\x1f\\x7f,]+$')`:     asBefore,
	`v1alpha1 ServiceProvider.spec.access.rules[].methods[] has the rule self.matches('^[A-Z][A-Z-]*$')`:             asBefore,
	`v1alpha1 ServiceProvider.spec.admins.groups[] has the rule self.matches('^[^\\x00-\\x1f\\x7f,]+$')`:             asBefore,
	`v1alpha1 ServiceProvider.spec.profileAttributes[].name has the rule self.matches('^[a-z][a-zA-Z0-9]*$')`:        asBefore,
}

// TestNoFieldOfAnEarlierReleaseIsStricter: what an earlier release took, this one takes. An object in git can be applied with every release.
func TestNoFieldOfAnEarlierReleaseIsStricter(t *testing.T) {
	current := schemas(kinds(t, filepath.Join(root, "config", "crd", "bases", "*.yaml")))
	needed := map[string]bool{}
	for _, release := range releases {
		for path, old := range schemas(kinds(t, filepath.Join("testdata", release, "crds.yaml"))) {
			now, ok := current[path]
			if !ok {
				continue // TestNoFieldOfAnEarlierReleaseIsGone says so
			}
			for _, demand := range stricter(t, old, now) {
				needed[path+demand] = true
				if excused[path+demand] == "" {
					t.Errorf("%s, and did not in %s: objects that were taken may be refused", path+demand, release)
				}
			}
		}
	}
	for demand := range excused {
		if !needed[demand] {
			t.Errorf("this is excused and not so: %s", demand)
		}
	}
}

// TestWhatIsStricterIsFound holds the comparison itself to every kind of validation.
func TestWhatIsStricterIsFound(t *testing.T) {
	for _, test := range []struct{ old, now, demand string }{
		{`{type: object}`, `{type: object, required: [a]}`, " requires a"},
		{`{type: object, required: [a, b]}`, `{type: object, required: [b]}`, ""},
		{`{type: string}`, `{type: string, pattern: "^a$"}`, " has the pattern ^a$"},
		{`{type: string, pattern: "^[ab]$"}`, `{type: string, pattern: "^a$"}`, " has the pattern ^a$"},
		{`{type: string, pattern: "^a$"}`, `{type: string}`, ""},
		{`{type: string}`, `{type: string, maxLength: 5}`, " has maxLength 5"},
		{`{type: string, maxLength: 6}`, `{type: string, maxLength: 5}`, " has maxLength 5"},
		{`{type: string, maxLength: 5}`, `{type: string, maxLength: 6}`, ""},
		{`{type: string, maxLength: 5}`, `{type: string}`, ""},
		{`{type: string, minLength: 1}`, `{type: string, minLength: 2}`, " has minLength 2"},
		{`{type: string, minLength: 2}`, `{type: string, minLength: 1}`, ""},
		{`{type: array, maxItems: 9}`, `{type: array, maxItems: 8}`, " has maxItems 8"},
		{`{type: array}`, `{type: array, minItems: 1}`, " has minItems 1"},
		{`{type: object}`, `{type: object, maxProperties: 8}`, " has maxProperties 8"},
		{`{type: object}`, `{type: object, minProperties: 1}`, " has minProperties 1"},
		{`{type: integer, maximum: 9}`, `{type: integer, maximum: 8}`, " has maximum 8"},
		{`{type: integer, minimum: 1}`, `{type: integer, minimum: 2}`, " has minimum 2"},
		{`{type: string}`, `{type: string, x-kubernetes-validations: [{rule: self != ''}]}`, " has the rule self != ''"},
		{`{type: string, x-kubernetes-validations: [{rule: self != ''}]}`, `{type: string, x-kubernetes-validations: [{rule: self != '', message: say something}]}`, ""},
		{`{type: string, x-kubernetes-validations: [{rule: self != ''}]}`, `{type: string}`, ""},
		{`{type: string}`, `{type: string, enum: [A]}`, " takes certain values only"},
		{`{type: string, enum: [A]}`, `{type: string, enum: [A, B]}`, ""},
		{`{type: string}`, `{type: string, format: date}`, ` is {"type":"string","format":"date"}`},
		{`{type: array}`, `{type: array, x-kubernetes-list-type: set}`, ` is {"type":"array","x-kubernetes-list-type":"set"}`},
		{`{type: object, x-kubernetes-preserve-unknown-fields: true}`, `{type: object}`, ` is {"type":"object"}`},
		{`{type: string, description: a}`, `{type: string, description: b}`, ""},
	} {
		old, now := parse(t, test.old), parse(t, test.now)
		var want []string
		if test.demand != "" {
			want = []string{test.demand}
		}
		if got := stricter(t, old, now); !slices.Equal(got, want) {
			t.Errorf("%s after %s: found is %q, want %q", test.now, test.old, got, want)
		}
	}
}

func parse(t *testing.T, text string) *apiextensionsv1.JSONSchemaProps {
	t.Helper()
	var schema apiextensionsv1.JSONSchemaProps
	if err := yaml.UnmarshalStrict([]byte(text), &schema); err != nil {
		t.Fatal(err)
	}
	return &schema
}

// schemas are those of every field, by version, kind and path.
func schemas(kinds []apiextensionsv1.CustomResourceDefinition) map[string]*apiextensionsv1.JSONSchemaProps {
	all := map[string]*apiextensionsv1.JSONSchemaProps{}
	everyField(kinds, func(path string, schema *apiextensionsv1.JSONSchemaProps) { all[path] = schema })
	return all
}

// stricter lists what a field demands that it did not before, without its inside. A wider limit is nothing; of what has no order, every change counts.
func stricter(t *testing.T, old, now *apiextensionsv1.JSONSchemaProps) (demands []string) {
	t.Helper()
	add := func(is bool, demand string) {
		if is {
			demands = append(demands, " "+demand)
		}
	}
	for _, name := range now.Required {
		add(!slices.Contains(old.Required, name), "requires "+name)
	}
	for _, rule := range now.XValidations {
		known := slices.ContainsFunc(old.XValidations, func(before apiextensionsv1.ValidationRule) bool { return before.Rule == rule.Rule })
		add(!known, "has the rule "+rule.Rule)
	}
	add(now.Pattern != "" && now.Pattern != old.Pattern, "has the pattern "+now.Pattern)
	add(len(now.Enum) > 0 && len(old.Enum) == 0, "takes certain values only") // TestNoFieldOfAnEarlierReleaseIsGone has the values
	before := limits(old)
	for i, limit := range limits(now) {
		if limit.narrows(before[i]) {
			demands = append(demands, " has "+limit.String())
		}
	}
	add(rest(t, old) != rest(t, now), "is "+rest(t, now))
	return demands
}

// limit is a number that bounds a field, from above or from below; without a value there is none.
type limit struct {
	name  string
	above bool
	value *float64
}

func limits(s *apiextensionsv1.JSONSchemaProps) []limit {
	whole := func(n *int64) *float64 {
		if n == nil {
			return nil
		}
		return new(float64(*n))
	}
	return []limit{
		{"maxLength", true, whole(s.MaxLength)}, {"minLength", false, whole(s.MinLength)}, {"maxItems", true, whole(s.MaxItems)}, {"minItems", false, whole(s.MinItems)},
		{"maxProperties", true, whole(s.MaxProperties)}, {"minProperties", false, whole(s.MinProperties)}, {"maximum", true, s.Maximum}, {"minimum", false, s.Minimum},
	}
}

func (l limit) String() string { return l.name + " " + strconv.FormatFloat(*l.value, 'f', -1, 64) }

func (l limit) narrows(before limit) bool {
	switch {
	case l.value == nil:
		return false
	case before.value == nil:
		return true
	case l.above:
		return *l.value < *before.value
	default:
		return *l.value > *before.value
	}
}

// rest is what is left of a field's validation without what stricter looks at, and without its inside.
func rest(t *testing.T, schema *apiextensionsv1.JSONSchemaProps) string {
	t.Helper()
	s := *schema
	s.Description, s.Default, s.Title, s.Example, s.ExternalDocs = "", nil, "", nil, nil
	s.Required, s.XValidations, s.Pattern, s.Enum = nil, nil, "", nil
	s.MaxLength, s.MinLength, s.MaxItems, s.MinItems, s.MaxProperties, s.MinProperties, s.Maximum, s.Minimum = nil, nil, nil, nil, nil, nil, nil, nil
	s.Properties, s.Items, s.AdditionalProperties = nil, nil, nil
	encoded, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}
