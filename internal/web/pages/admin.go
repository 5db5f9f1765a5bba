package pages

// AdminPage is one page of the admin view.
type AdminPage interface {
	// adminView is the template's name and the title.
	adminView() (name, title string)
}

// Admin is the frame of the admin view. Tab is the part that is shown.
type Admin struct {
	Tab, Email string
	Inner      AdminPage
}

func (a Admin) view() (name, title, policy string) {
	_, title = a.Inner.adminView()
	return "admin", title, policyHere
}

// InnerView is the template of the page within the frame.
func (a Admin) InnerView() string { name, _ := a.Inner.adminView(); return name }

// Tabs are the parts of the view, in their order.
func (a Admin) Tabs() []AdminTab {
	tabs := []AdminTab{{"/admin", "Overview", "overview", false}, {"/admin/failures", "Failures", "failures", false}, {"/admin/people", "Users", "people", false},
		{"/admin/sessions", "Sessions", "sessions", false}, {"/admin/audit", "Audit", "audit", false}}
	for i := range tabs {
		tabs[i].Current = tabs[i].name == a.Tab
	}
	return tabs
}

// AdminTab is one entry of the navigation.
type AdminTab struct {
	URL, Label, name string
	Current          bool
}

// AdminOverview is the first page.
type AdminOverview struct {
	Users, Sessions int
	Connections     []AdminConnection
	Charts          []Chart
	Failures        []AdminFailure
}

func (AdminOverview) adminView() (string, string) { return "admin-overview", "Overview" }

// AdminConnection is a connection with its health.
type AdminConnection struct {
	Name, Label, Type, State, TrustURL string
	Good                               bool
	Domains                            []string
	Expiries                           []Expiry
	Users, Sessions                    int
	LastSignIn                         Time
}

// Expiry is when certificates end. Warning is empty while that is far.
type Expiry struct {
	Label, Warning string
	At             Time
}

// AdminFailure is a refused response with its diagnosis.
type AdminFailure struct {
	Reference, IdP, Kind, Email, Sentence, Advice string
	At                                            Time
	// Verified is false when the address is only what the response claims.
	Verified bool
}

// AdminFailures is the list of them.
type AdminFailures struct {
	Items []AdminFailure
	IdP   string
	IdPs  []string
}

func (AdminFailures) adminView() (string, string) { return "admin-failures", "Failures" }

// AdminFailureDetails is one of them whole.
type AdminFailureDetails struct {
	AdminFailure
	Facts      []TrustValue
	Attributes []SentAttribute
}

func (AdminFailureDetails) adminView() (string, string) { return "admin-failure", "Failure" }

// AdminAudit is a page of the audit log with its filters.
type AdminAudit struct {
	Type, Actor, IdP, Outcome, Request, Days string
	Types, IdPs                              []string
	Records                                  []AdminRecord
	NextURL, ExportURL                       string
}

func (AdminAudit) adminView() (string, string) { return "admin-audit", "Audit log" }

// Outcomes to choose from.
func (AdminAudit) Outcomes() []string { return []string{"success", "failure", "denied"} }

// Periods to choose from, in days.
func (AdminAudit) Periods() []string { return []string{"1", "7", "30", "90", "365"} }

// AdminRecord is an audit record.
type AdminRecord struct {
	At                                        Time
	Type, Outcome, Reason, Who, What, Request string
}

// AdminPeople is a list of people.
type AdminPeople struct {
	Prefix    string
	Suspended bool
	Items     []AdminPerson
	NextURL   string
}

func (AdminPeople) adminView() (string, string) { return "admin-people", "People" }

// AdminPerson is a person in a list.
type AdminPerson struct {
	ID, Email, Name, IdP, URL string
	LastSignIn                Time
	Suspended                 bool
	Reason                    string
}

// AdminPersonDetails is a person whole.
type AdminPersonDetails struct {
	AdminPerson
	Notice      string
	Created     Time
	Groups      []string
	Profile     []ProfileValue
	Sessions    []AdminSession
	Factors     []string
	Connections []Connected
}

func (p AdminPersonDetails) adminView() (string, string) { return "admin-person", p.Email }

// AdminSessions is a list of sessions.
type AdminSessions struct {
	Notice  string
	Items   []AdminSession
	NextURL string
}

func (AdminSessions) adminView() (string, string) { return "admin-sessions", "Sessions" }

// AdminSession is a session.
type AdminSession struct {
	ID, Email, IdP, IP, Device, RevokeURL, PersonURL string
	Created, LastSeen                                Time
}

// AdminConfirm asks before something is changed.
type AdminConfirm struct {
	Question, Consequence, Button, Action, Back string
	WithReason                                  bool
}

func (AdminConfirm) adminView() (string, string) { return "admin-confirm", "Confirm" }
