package controllers

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// What has happened is found out by comparing: a spec with what is published, a status with the one that is persisted. A record is in the ledger before the snapshot
// or the status is written that it is about, so that no crash loses it. Between the two the comparison would find the same again, under another resource version or
// together with what somebody has changed meanwhile. So the same write of the ledger says how far the log is ahead: settings that may not be published yet, and
// statuses that may not be written yet. Both are compared with in place of what is published and persisted, and are forgotten when they have become that.

// toldStatus is what records tell of a status, and nothing else of it.
type toldStatus struct {
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Connection has the certificates and endpoints of an IdentityProvider.
	Connection *v1alpha1.IdentityProviderStatus `json:"connection,omitempty"`
	// Revision is the programmed one of a ServiceProvider, and AuditKey the ID of the key that signs its audit log.
	Revision string `json:"revision,omitempty"`
	AuditKey string `json:"auditKey,omitempty"`
	// HeaderKeys are those of the signed header.
	HeaderKeys []v1alpha1.HeaderKeyStatus `json:"headerKeys,omitempty"`
}

// told is the status of an object as far as the log was told of it; persisted is what the object has.
func (s *scope) told(uid types.UID, persisted any) toldStatus {
	if status, ok := s.memory.ledger.Statuses[uid]; ok {
		return status
	}
	return toldOf(persisted)
}

func (t toldStatus) identityProvider() *v1alpha1.IdentityProviderStatus {
	return ptr.To(ptr.Deref(t.Connection, v1alpha1.IdentityProviderStatus{}))
}

func toldOf(status any) toldStatus {
	switch status := status.(type) {
	case v1alpha1.ServiceProviderStatus:
		return toldStatus{Conditions: told(status.Conditions), Revision: status.ProgrammedRevision, AuditKey: ptr.Deref(status.AuditKey, v1alpha1.AuditKeyStatus{}).ID,
			HeaderKeys: status.HeaderKeys}
	case v1alpha1.IdentityProviderStatus:
		return toldStatus{Conditions: told(status.Conditions), Connection: toldConnection(status)}
	case v1alpha1.DomainBindingStatus:
		return toldStatus{Conditions: told(status.Conditions)}
	case v1alpha1.AttributeMappingStatus:
		return toldStatus{Conditions: told(status.Conditions)}
	}
	return toldStatus{}
}

func told(conditions []metav1.Condition) []metav1.Condition {
	short := make([]metav1.Condition, 0, len(conditions))
	for _, c := range conditions {
		short = append(short, metav1.Condition{Type: c.Type, Status: c.Status, Reason: c.Reason})
	}
	return short
}

func toldConnection(status v1alpha1.IdentityProviderStatus) *v1alpha1.IdentityProviderStatus {
	short := &v1alpha1.IdentityProviderStatus{EntityID: status.EntityID, SSOURL: status.SSOURL, SSOBinding: status.SSOBinding, SLOURL: status.SLOURL}
	for _, c := range status.Certificates {
		short.Certificates = append(short.Certificates, v1alpha1.IdentityProviderCertificate{SHA256: c.SHA256, NotAfter: c.NotAfter, Expiry: c.Expiry})
	}
	if status.ServiceProvider != nil {
		short.ServiceProvider = &v1alpha1.ConnectionEndpoints{Certificates: status.ServiceProvider.Certificates}
	}
	return short
}

// isAhead tells whether the log was told of a status that may not be written.
func (l *ledger) isAhead(uid types.UID) bool {
	_, ok := l.Statuses[uid]
	return ok
}

// written says that the status of an object is what the log was told.
func (l *ledger) written(uid types.UID) {
	if l.isAhead(uid) {
		delete(l.Statuses, uid)
		l.dirty = true
	}
}

// published says that what the log was told of settings is what the pods can read.
func (l *ledger) published() {
	if len(l.Ahead) > 0 {
		clear(l.Ahead)
		l.dirty = true
	}
}

// setAhead notes what the log is told of an object's settings and is not published.
func (l *ledger) setAhead(uid types.UID, published, told settings) {
	ahead := settings{}
	for path, value := range told {
		if published[path] != value {
			ahead[path] = value
		}
	}
	for path := range published {
		if _, still := told[path]; !still {
			ahead[path] = ""
		}
	}
	if delete(l.Ahead, uid); len(ahead) > 0 {
		l.Ahead[uid] = ahead
	}
}
