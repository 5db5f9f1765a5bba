package pages

import "html/template"

// SignIn asks who signs in. Exactly one of three forms is shown: Remembered, Choices, or the e-mail field.
type SignIn struct {
	// Return is where to go after; it was checked. Destination is its host, for people; empty when it is the service provider itself.
	Return, Destination string
	// Notice says why the person is asked again.
	Notice string
	// Remembered is the connection that this browser used last; OtherURL forgets it.
	Remembered *Choice
	OtherURL   string
	Choices    []Choice
	// Email is what was typed, FieldError what is wrong with it.
	Email, FieldError string
}

// Choice is one connection to sign in through.
type Choice struct{ Name, DisplayName string }

// Initial is the letter on the button.
func (c Choice) Initial() string { return initial(c.DisplayName) }

func (SignIn) view() (name, title, policy string) { return "signin", "Sign in", policyAway }

// Post carries a SAML message by the POST binding (saml-bindings 3.5).
type Post struct {
	Heading string
	// Action is the identity provider's URL, Field SAMLRequest or SAMLResponse, Message its value.
	Action, Field, Message, RelayState string
}

func (p Post) view() (name, title, policy string) { return "post", p.Heading, policyPost }

// Script is the page's only script; the policy holds its hash.
func (Post) Script() template.JS { return postScript }

// Message says one thing: that something went wrong, or that it is done.
type Message struct {
	// Good is for news that is no error.
	Good             bool
	Heading          string
	Sentence, Advice string
	Reference        string
	Action, Other    *Link
}

func (m Message) view() (name, title, policy string) { return "message", m.Heading, policyHere }

// SignOut asks whether to sign out. Email is empty when nobody is, and when the store cannot say who is.
type SignOut struct {
	Email, Return string
	Nobody        bool
}

func (SignOut) view() (name, title, policy string) { return "signout", "Sign out", policyAway }

// Account is a person's own page.
type Account struct {
	Notice, DisplayName, Email, FirstName, LastName string
	Profile                                         []ProfileValue
	Groups                                          []string
	// SecondFactorURL is empty when there is no second step.
	SecondFactorURL string
	Factors         []Factor
	RecoveryCodes   int
	Sessions        []Session
	OtherSessions   bool
	Connections     []Connected
}

// Initial is the letter in the circle.
func (a Account) Initial() string { return initial(a.DisplayName) }

// ProfileValue is one canonical value; Source says where it comes from.
type ProfileValue struct{ Label, Value, Source string }

// Session is one signed-in browser.
type Session struct {
	ID, Device, IP, IdP string
	Created, LastSeen   Time
	Current             bool
}

// Connected is what one IdP sent about a person.
type Connected struct {
	DisplayName string
	Recorded    Time
	Attributes  []SentAttribute
}

// SentAttribute is one attribute; Use says what became of it.
type SentAttribute struct {
	Label, Use string
	Values     []string
}

func (Account) view() (name, title, policy string) { return "account", "Your account", policyAway }

// Trust is for the administrator at the other side.
type Trust struct {
	DisplayName, Product, MetadataURL, Metadata string
	Established, Enabled                        bool
	Values                                      []TrustValue
	Steps                                       []Step
	Attributes, Profile                         []ExpectedAttribute
	Certificates                                []Certificate
}

// TrustValue is one of our side's values. With URL it is shown as a link, and Plain as words.
type TrustValue struct {
	Label, Value, URL, Note string
	Plain                   bool
}

// Step is one step in the identity provider's console: where to click, and what to type there.
type Step struct {
	Where  string
	Fields []Field
}

// Field is a field of a console by the console's own name. Code marks a value that is typed as it stands.
type Field struct {
	Name, Value string
	Code        bool
}

// ExpectedAttribute is what the mapping reads.
type ExpectedAttribute struct {
	Use      string
	Names    []string
	Required bool
}

// Certificate is one of our certificates.
type Certificate struct {
	Phase, Use, SHA256, PEM string
	NotAfter                Time
}

func (t Trust) view() (name, title, policy string) {
	return "trust", "Connect " + t.DisplayName, policyHere
}
