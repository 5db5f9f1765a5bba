package offline

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apimachineryvalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/config/crd"
)

// kindSchema judges objects of one kind as the API server would.
type kindSchema struct {
	structural *structuralschema.Structural
	openapi    validation.SchemaValidator
	rules      *cel.Validator
}

// schemas by kind. Compiling the rules takes a moment, so it happens once, and only when something is validated.
var schemas = sync.OnceValues(loadSchemas)

func loadSchemas() (map[string]*kindSchema, error) {
	files, err := fs.Glob(crd.Bases, "bases/*.yaml")
	if err != nil {
		return nil, err
	}
	loaded := map[string]*kindSchema{}
	for _, file := range files {
		content, err := fs.ReadFile(crd.Bases, file)
		if err != nil {
			return nil, err
		}
		kind, schema, err := loadSchema(content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		loaded[kind] = schema
	}
	return loaded, nil
}

func loadSchema(content []byte) (string, *kindSchema, error) {
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(content, &definition); err != nil {
		return "", nil, err
	}
	var internal apiextensions.CustomResourceValidation
	version := definition.Spec.Versions[0]
	if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(version.Schema, &internal, nil); err != nil {
		return "", nil, err
	}
	structural, err := structuralschema.NewStructural(internal.OpenAPIV3Schema)
	if err != nil {
		return "", nil, err
	}
	openapi, _, err := validation.NewSchemaValidator(internal.OpenAPIV3Schema)
	if err != nil {
		return "", nil, err
	}
	return definition.Spec.Names.Kind, &kindSchema{
		structural: structural,
		openapi:    openapi,
		rules:      cel.NewValidator(structural, true, celconfig.PerCallLimit),
	}, nil
}

// Validate judges one object of our group as the API server would at its creation, and fills in the defaults that the API server would.
// Objects of other groups are left alone.
func Validate(d Document) ([]Problem, error) {
	gvk := d.Object.GroupVersionKind()
	if gvk.Group != v1alpha1.GroupName {
		return nil, nil
	}
	known, err := schemas()
	if err != nil {
		return nil, err
	}
	schema := known[gvk.Kind]
	if schema == nil {
		return []Problem{d.problem(SeverityError, "Invalid", "kind", fmt.Sprintf("there is no kind %q in %s: write ServiceProvider, IdentityProvider, DomainBinding or AttributeMapping", gvk.Kind, v1alpha1.GroupName))}, nil
	}
	if gvk.Version != v1alpha1.GroupVersion.Version {
		return []Problem{d.problem(SeverityError, "Invalid", "apiVersion", fmt.Sprintf("there is no version %q: write %s", gvk.Version, v1alpha1.GroupVersion))}, nil
	}
	var problems []Problem
	content := d.Object.Object
	// Status is the operator's, and the API server drops it too.
	delete(content, "status")
	// What a misspelt field leaves undone in its section is not said twice.
	incomplete := map[string]bool{}
	for _, path := range pruning.PruneWithOptions(content, schema.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}) {
		problems = append(problems, d.problem(SeverityError, "UnknownField", path, "there is no such field: correct its name or remove it"))
		incomplete[path[:max(0, strings.LastIndexByte(path, '.'))]] = true
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(content, schema.structural)
	defaulting.Default(content, schema.structural)
	for _, failure := range schema.validate(content, d) {
		if incomplete[path(failure)] {
			continue
		}
		problems = append(problems, d.problem(SeverityError, "Invalid", path(failure), sentence(failure)))
	}
	return problems, nil
}

func (s *kindSchema) validate(content map[string]any, d Document) field.ErrorList {
	var failures field.ErrorList
	for _, message := range apimachineryvalidation.NameIsDNSSubdomain(d.Object.GetName(), d.Object.GetGenerateName() != "") {
		failures = append(failures, field.Invalid(field.NewPath("metadata", "name"), d.Object.GetName(), message))
	}
	failures = append(failures, validation.ValidateCustomResource(nil, content, s.openapi)...)
	failures = append(failures, listtype.ValidateListSetsAndMaps(nil, s.structural, content)...)
	for _, failure := range failures {
		switch failure.Type {
		case field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			// The rules assume an object of the right shape.
			return failures
		}
	}
	broken, _ := s.rules.Validate(context.Background(), nil, s.structural, content, nil, celconfig.RuntimeCELCostBudget)
	return append(failures, broken...)
}

func path(failure *field.Error) string {
	if failure.Field == "<nil>" {
		return ""
	}
	return failure.Field
}

// sentence is the failure without the field, which is shown apart.
func sentence(failure *field.Error) string {
	detail := strings.TrimPrefix(failure.Detail, failure.Field+" in body ")
	switch failure.Type {
	case field.ErrorTypeRequired:
		return "required"
	case field.ErrorTypeNotSupported, field.ErrorTypeDuplicate, field.ErrorTypeTooLong, field.ErrorTypeTooMany:
		return strings.TrimPrefix(failure.ErrorBody(), "Invalid value: ")
	case field.ErrorTypeInvalid, field.ErrorTypeTypeInvalid:
		if detail == "" {
			return failure.ErrorBody()
		}
	}
	return detail
}
