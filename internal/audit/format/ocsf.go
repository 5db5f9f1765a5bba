package format

import (
	"encoding/json"
	"strings"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/version"
)

// ocsfVersion is the schema that the events follow.
const ocsfVersion = "1.3.0"

// Classes of the category Identity & Access Management (3).
const (
	accountChange    = 3001
	authentication   = 3002
	entityManagement = 3004
)

// other is the activity that the schema has no number for; activity_name is the record's type then.
const other = 99

// activityNames are the schema's names of the activities that are used here: activity_name has to be the name of activity_id.
var activityNames = map[class]string{
	{accountChange, 1}: "Create", {accountChange, 2}: "Enable", {accountChange, 5}: "Disable", {accountChange, 6}: "Delete", {accountChange, 10}: "MFA Factor Enable", {accountChange, 11}: "MFA Factor Disable",
	{authentication, 1}: "Logon", {authentication, 2}: "Logoff",
	{entityManagement, 1}: "Create", {entityManagement, 2}: "Read", {entityManagement, 3}: "Update", {entityManagement, 4}: "Delete", {entityManagement, 8}: "Enable", {entityManagement, 9}: "Disable",
}

// hostProfile brings the attribute actor to Entity Management; the other two classes have it of their own.
const hostProfile = "host"

// class is the event class and activity of a record.
type class struct{ uid, activity int }

// classes of the records about people; everything else manages an entity.
var classes = map[audit.Type]class{
	audit.TypeUserSignedInSAML: {authentication, 1}, audit.TypeSAMLAssertionReceived: {authentication, 1}, audit.TypeSAMLAssertionFailed: {authentication, 1},
	audit.TypeSAMLAssertionReplayed: {authentication, 1}, audit.TypeEmailDomainNotBound: {authentication, 1}, audit.TypeRefusalsCounted: {authentication, 1}, audit.TypeUserAccessDenied: {authentication, 1},
	audit.TypeSSOBreakGlass: {authentication, 1}, audit.TypeSecondFactorVerified: {authentication, 1}, audit.TypeSecondFactorFailed: {authentication, 1},
	audit.TypeUserSignedOut: {authentication, 2}, audit.TypeSessionRevoked: {authentication, 2}, audit.TypeManagementDenied: {authentication, 1},

	audit.TypeUserCreatedJIT: {accountChange, 1}, audit.TypeUserResumed: {accountChange, 2}, audit.TypeUserSuspended: {accountChange, 5},
	audit.TypeUserDeleted: {accountChange, 6}, audit.TypeSecondFactorEnrolled: {accountChange, 10}, audit.TypeSecondFactorReset: {accountChange, 11},
	audit.TypeUserAttributesSynced: {accountChange, other}, audit.TypeUserProfileUpdated: {accountChange, other}, audit.TypeUserIdPAttributeMirrorFailed: {accountChange, other},
	audit.TypeUserIdPGroupRuleFailed: {accountChange, other}, audit.TypeIdPGroupMemberAdded: {accountChange, other}, audit.TypeIdPGroupMemberRemoved: {accountChange, other},

	audit.TypeDebugEntryViewed: {entityManagement, 2}, audit.TypeAuditQueried: {entityManagement, 2}, audit.TypeSignInExplained: {entityManagement, 2}, audit.TypeAuditKeyRotated: {entityManagement, 3}, audit.TypeAuditRetentionApplied: {entityManagement, 4},
	audit.TypeHeaderKeyAdded: {entityManagement, 1}, audit.TypeHeaderKeyRetired: {entityManagement, 4},
	audit.TypeSAMLIdPEnabled: {entityManagement, 8}, audit.TypeSAMLIdPDisabled: {entityManagement, 9},
	audit.TypeSAMLDomainBound: {entityManagement, 1}, audit.TypeSAMLDomainUnbound: {entityManagement, 4}, audit.TypeIdPGroupDiscovered: {entityManagement, 1},
}

func classOf(t audit.Type) class {
	if c, ok := classes[t]; ok {
		return c
	}
	switch name := t.String(); {
	case strings.HasSuffix(name, "_created"):
		return class{entityManagement, 1}
	case strings.HasSuffix(name, "_deleted"):
		return class{entityManagement, 4}
	}
	return class{entityManagement, 3}
}

type ocsfEvent struct {
	ActivityID   int    `json:"activity_id"`
	ActivityName string `json:"activity_name"`
	CategoryUID  int    `json:"category_uid"`
	ClassUID     int    `json:"class_uid"`
	TypeUID      int    `json:"type_uid"`
	SeverityID   int    `json:"severity_id"`
	StatusID     int    `json:"status_id"`
	StatusCode   string `json:"status_code,omitempty"`
	Time         int64  `json:"time"` // milliseconds since 1970
	// Count, StartTime and EndTime are of records that stand for many.
	Count       int          `json:"count,omitempty"`
	StartTime   int64        `json:"start_time,omitempty"`
	EndTime     int64        `json:"end_time,omitempty"`
	Message     string       `json:"message"`
	Metadata    ocsfMetadata `json:"metadata"`
	Actor       *ocsfActor   `json:"actor,omitempty"`
	SrcEndpoint *ocsfAddress `json:"src_endpoint,omitempty"`

	// Authentication and Account Change.
	User *ocsfUser `json:"user,omitempty"`
	// Authentication.
	Service        *ocsfNamed `json:"service,omitempty"`
	AuthProtocolID int        `json:"auth_protocol_id,omitempty"`
	IsRemote       bool       `json:"is_remote,omitempty"`
	Session        *ocsfUID   `json:"session,omitempty"`
	// Entity Management.
	Entity *ocsfEntity `json:"entity,omitempty"`

	// Unmapped carries the record's own details, and its place in the hash chain.
	Unmapped map[string]any `json:"unmapped"`
}

type ocsfMetadata struct {
	Version        string      `json:"version"`
	UID            string      `json:"uid"`
	CorrelationUID string      `json:"correlation_uid,omitempty"`
	EventCode      string      `json:"event_code"`
	Sequence       uint64      `json:"sequence"`
	LogName        string      `json:"log_name"`
	Profiles       []string    `json:"profiles,omitempty"`
	Product        ocsfProduct `json:"product"`
}

type ocsfProduct struct {
	Name       string `json:"name"`
	VendorName string `json:"vendor_name"`
	Version    string `json:"version,omitempty"`
}

type ocsfUser struct {
	Name      string `json:"name,omitempty"`
	UID       string `json:"uid,omitempty"`
	EmailAddr string `json:"email_addr,omitempty"`
	TypeID    int    `json:"type_id"`
}

type ocsfActor struct {
	User    *ocsfUser `json:"user,omitempty"`
	AppName string    `json:"app_name,omitempty"`
}

type ocsfAddress struct {
	IP string `json:"ip"`
}

type ocsfNamed struct {
	Name string `json:"name"`
}

type ocsfUID struct {
	UID string `json:"uid"`
}

type ocsfEntity struct {
	Name string `json:"name,omitempty"`
	UID  string `json:"uid,omitempty"`
	Type string `json:"type,omitempty"`
}

// saml is auth_protocol_id of SAML.
const saml = 5

func ocsf(r audit.Record) ocsfEvent {
	c := classOf(r.Type)
	name := r.Type.String()
	e := ocsfEvent{
		ActivityID: c.activity, ActivityName: or(activityNames[c], name), CategoryUID: 3, ClassUID: c.uid, TypeUID: c.uid*100 + c.activity, SeverityID: severity(r), StatusID: 1, StatusCode: r.Reason,
		Time: r.Time.UnixMilli(), Message: strings.ReplaceAll(name, "_", " "),
		Metadata: ocsfMetadata{Version: ocsfVersion, UID: r.ID, CorrelationUID: r.Request, EventCode: name, Sequence: r.Sequence, LogName: r.Writer,
			Product: ocsfProduct{Name: "Sallyport", VendorName: "Sallyport", Version: version.Version}},
		Actor:    actorOf(r.Actor),
		Unmapped: map[string]any{"tier": r.Tier, "hash": r.Hash, "previousHash": r.PreviousHash, "target": r.Target},
	}
	if many := counted(r); many.Count > 0 {
		e.Count, e.StartTime, e.EndTime = many.Count, millis(many.First), millis(many.Last)
	}
	if r.Outcome != audit.OutcomeSuccess {
		e.StatusID = 2
	}
	if d, ok := r.Details.(json.RawMessage); ok {
		e.Unmapped["details"] = d
	}
	if r.Actor.IP != "" {
		e.SrcEndpoint = &ocsfAddress{IP: r.Actor.IP}
	}
	switch c.uid {
	case authentication:
		e.User, e.Service, e.IsRemote = subject(r), &ocsfNamed{"Sallyport"}, true
		if r.Type != audit.TypeManagementDenied && r.Type != audit.TypeSSOBreakGlass && counted(r).Type != audit.TypeManagementDenied.String() {
			e.AuthProtocolID = saml
		}
		if r.Session != "" {
			e.Session = &ocsfUID{r.Session}
		}
	case accountChange:
		e.User = subject(r)
	default:
		e.Metadata.Profiles = []string{hostProfile}
		e.Entity = &ocsfEntity{Name: r.Target.Name, UID: r.Target.UID, Type: r.Target.Kind}
		if r.Target.Name == "" && r.Target.UID == "" {
			e.Entity.Name = or(r.Target.Kind, name) // the schema wants one of the two
		}
	}
	return e
}

// subject is whom the record is about: the target where it is a person, who acted otherwise. The schema wants a name or a UID.
func subject(r audit.Record) *ocsfUser {
	u := &ocsfUser{Name: or(r.Actor.Email, r.Actor.ID), UID: r.Actor.ID, EmailAddr: r.Actor.Email, TypeID: 1}
	if r.Target.Kind == audit.KindUser {
		u = &ocsfUser{Name: or(r.Target.Name, r.Target.UID), UID: r.Target.UID, TypeID: 1}
	}
	if u.Name == "" {
		u.Name, u.TypeID = "unknown", 0
	}
	return u
}

func actorOf(a audit.Actor) *ocsfActor {
	out := &ocsfActor{AppName: a.Manager}
	if id := or(a.Email, a.ID); id != "" {
		out.User = &ocsfUser{Name: id, UID: a.ID, EmailAddr: a.Email, TypeID: 1}
		if a.Kind != audit.ActorUser {
			out.User.TypeID = 3 // system
		}
	} else if out.AppName == "" {
		out.AppName = string(a.Kind)
	}
	return out
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
