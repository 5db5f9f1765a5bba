package offline

import (
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

var pathStep = regexp.MustCompile(`^(?:\.?([A-Za-z0-9_-]+)|\[([0-9]+)\]|\[([^\]]*)\])`)

// Line returns the line of the field that path names, such as spec.saml.metadata or spec.profile[0].from, counted from 1 in the file.
// Where the field is not there, it is the line of the closest field around it.
func (d Document) Line(path string) int {
	line, node := max(d.node.Line, 1), d.node
	for path != "" {
		match := pathStep.FindStringSubmatch(path)
		if match == nil {
			return line
		}
		path = path[len(match[0]):]
		switch {
		case match[1] != "":
			key, value := entry(node, match[1])
			if key == nil {
				return line
			}
			line, node = key.Line, value
		case match[2] != "":
			index, err := strconv.Atoi(match[2])
			if err != nil || node.Kind != yaml.SequenceNode || index >= len(node.Content) {
				return line
			}
			node = node.Content[index]
			line = node.Line
		case node.Kind == yaml.SequenceNode:
			item := named(node, match[3])
			if item == nil {
				return line
			}
			line, node = item.Line, item
		default:
			key, value := entry(node, match[3])
			if key == nil {
				return line
			}
			line, node = key.Line, value
		}
	}
	return line
}

func entry(node *yaml.Node, name string) (key, value *yaml.Node) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i], node.Content[i+1]
		}
	}
	return nil, nil
}

// named is the item of a list that has the name, nil when none has.
func named(list *yaml.Node, name string) *yaml.Node {
	for _, item := range list.Content {
		if value := child(item, "name"); value != nil && value.Value == name {
			return item
		}
	}
	return nil
}

func child(node *yaml.Node, name string) *yaml.Node {
	_, value := entry(node, name)
	return value
}

var fieldPrefix = regexp.MustCompile(`^((?:spec|metadata)(?:\.[A-Za-z0-9_]+|\[[a-z0-9-]+\])+): `)

// fieldOf splits "spec.domain: what is wrong" into the field and the sentence.
func fieldOf(message string) (field, sentence string) {
	if match := fieldPrefix.FindString(message); match != "" {
		return strings.TrimSuffix(match, ": "), message[len(match):]
	}
	return "", message
}
