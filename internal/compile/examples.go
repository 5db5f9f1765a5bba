package compile

import (
	"strings"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/identity"
)

// runExamples runs the examples of an AttributeMapping through the mapping that the service provider would use.
func runExamples(mapping *identity.CompiledMapping, examples []v1alpha1.MappingExample) []ExampleFailure {
	var inputs []identity.Example
	for _, e := range examples {
		input := identity.Example{
			Attributes: map[string][]string{},
			Expect: identity.Expectation{
				Email: e.Expect.Email, FirstName: e.Expect.FirstName, LastName: e.Expect.LastName, Profile: map[string]string{},
			},
		}
		for name, values := range e.Attributes {
			input.Attributes[name] = values
		}
		if e.NameID != nil {
			input.NameID.Value = e.NameID.Value
			input.NameID.Format = nameIDFormats[or(e.NameID.Format, v1alpha1.NameIDUnspecified)]
		}
		if e.Expect.Groups != nil {
			input.Expect.Groups = append([]string{}, plain(e.Expect.Groups)...)
		}
		for name, value := range e.Expect.Profile {
			input.Expect.Profile[name] = string(value)
		}
		inputs = append(inputs, input)
	}
	var failures []ExampleFailure
	for _, failure := range mapping.RunExamples(inputs) {
		failures = append(failures, ExampleFailure{Index: failure.Index, Message: shortened(failure.Message)})
	}
	return failures
}

// shortened keeps a message within what the status holds.
func shortened(message string) string {
	const most = 1000
	if len(message) <= most {
		return message
	}
	return strings.ToValidUTF8(message[:most], "") + "..."
}
