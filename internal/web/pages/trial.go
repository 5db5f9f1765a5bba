package pages

import "sallyport.dev/sallyport/internal/manageapi"

// Trial is the result of a test run, for the administrator who made the link.
type Trial struct {
	DisplayName string
	manageapi.Trial
}

func (t Trial) view() (name, title, policy string) {
	return "trial", "Test of " + t.DisplayName, policyHere
}

// Word is a verdict for people.
func (Trial) Word(verdict string) string {
	switch verdict {
	case "passed":
		return "Passed"
	case "failed":
		return "Failed"
	}
	return "Not reached"
}
