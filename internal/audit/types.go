package audit

import (
	"fmt"
)

// Type is what happened. The list is closed: a name that is not here does not compile, and a lock file test keeps every name that was ever published.
type Type uint8

// The types. Names are added, never renamed and never removed, because people search and alert by them.
const (
	_ Type = iota

	// Connection.
	TypeSAMLIdPCreated
	TypeSAMLIdPUpdated
	TypeSAMLIdPDeleted
	TypeSAMLIdPEnabled
	TypeSAMLIdPDisabled
	TypeSAMLIdPTrustEstablished
	TypeSAMLIdPTrustFailed
	TypeSAMLIdPMetadataRefreshed
	TypeSAMLIdPMetadataRefreshFailed
	TypeSAMLIdPMetadataStale
	TypeSAMLIdPEntityIDChangeRefused
	TypeSAMLIdPCertificateAdded
	TypeSAMLIdPCertificateRemoved
	TypeSAMLIdPCertificateExpiring
	TypeSAMLIdPVerboseLoggingEnabled
	TypeSAMLIdPVerboseLoggingDisabled
	TypeSAMLIdPDeletionBlocked
	TypeSAMLIdPTested
	TypeSAMLIdPSPCertificateCreated
	TypeSAMLIdPSPCertificatePublished
	TypeSAMLIdPSPCertificateRotated
	TypeSAMLIdPSPCertificateRetired

	// Domains.
	TypeSAMLDomainBound
	TypeSAMLDomainUnbound
	TypeSAMLDomainRebound
	TypeSAMLDomainConflicted
	TypeSAMLDomainVerified

	// Mapping.
	TypeAttributeMappingCreated
	TypeAttributeMappingUpdated
	TypeAttributeMappingDeleted
	TypeAttributeMappingExamplesFailed

	// Assertions.
	TypeSAMLAssertionReceived
	TypeSAMLAssertionFailed
	TypeSAMLAssertionReplayed
	TypeEmailDomainNotBound
	TypeRefusalsCounted

	// People.
	TypeUserSignedInSAML
	TypeUserSignedOut
	TypeUserCreatedJIT
	TypeUserAttributesSynced
	TypeUserProfileUpdated
	TypeUserIdPAttributeMirrorFailed
	TypeUserIdPGroupRuleFailed
	TypeUserSuspended
	TypeUserResumed
	TypeUserDeleted
	TypeUserAccessDenied
	TypeSessionRevoked
	TypeSessionHandedOver
	TypeSecondFactorEnrolled
	TypeSecondFactorVerified
	TypeSecondFactorFailed
	TypeSecondFactorReset
	TypeSSOBreakGlass

	// Groups.
	TypeIdPGroupDiscovered
	TypeIdPGroupInvalidated
	TypeIdPGroupMemberAdded
	TypeIdPGroupMemberRemoved

	// System.
	TypeAuditCheckpoint
	TypeAuditRetentionApplied
	TypeDebugEntryViewed
	TypeServiceProviderCreated
	TypeServiceProviderUpdated
	TypeServiceProviderDeleted
	TypeSnapshotProgrammed
	TypeAuditQueried
	TypeManagementDenied
	TypeAuditDeadLettered
	TypeAuditKeyRotated
	TypeSignInExplained

	// Keys of the signed header.
	TypeHeaderKeyAdded
	TypeHeaderKeyActivated
	TypeHeaderKeyRetired

	typeEnd
)

// Tier says who cares about a record.
type Tier string

// The tiers.
const (
	TierSecurity    Tier = "security"
	TierAdmin       Tier = "admin"
	TierOperational Tier = "operational"
	TierSystem      Tier = "system"
)

// Outcome is how it ended.
type Outcome string

// The outcomes. Denied is a decision (a person or message was refused), Failure is something that broke.
const (
	OutcomeSuccess Outcome = "success"
	OutcomeFailure Outcome = "failure"
	OutcomeDenied  Outcome = "denied"
)

type typeInfo struct {
	name string
	tier Tier
}

var typeTable = [typeEnd]typeInfo{
	TypeSAMLIdPCreated:                 {"saml_idp_created", TierAdmin},
	TypeSAMLIdPUpdated:                 {"saml_idp_updated", TierAdmin},
	TypeSAMLIdPDeleted:                 {"saml_idp_deleted", TierAdmin},
	TypeSAMLIdPEnabled:                 {"saml_idp_enabled", TierAdmin},
	TypeSAMLIdPDisabled:                {"saml_idp_disabled", TierAdmin},
	TypeSAMLIdPTrustEstablished:        {"saml_idp_trust_established", TierAdmin},
	TypeSAMLIdPTrustFailed:             {"saml_idp_trust_failed", TierAdmin},
	TypeSAMLIdPMetadataRefreshed:       {"saml_idp_metadata_refreshed", TierAdmin},
	TypeSAMLIdPMetadataRefreshFailed:   {"saml_idp_metadata_refresh_failed", TierAdmin},
	TypeSAMLIdPMetadataStale:           {"saml_idp_metadata_stale", TierAdmin},
	TypeSAMLIdPEntityIDChangeRefused:   {"saml_idp_entity_id_change_refused", TierSecurity},
	TypeSAMLIdPCertificateAdded:        {"saml_idp_certificate_added", TierAdmin},
	TypeSAMLIdPCertificateRemoved:      {"saml_idp_certificate_removed", TierAdmin},
	TypeSAMLIdPCertificateExpiring:     {"saml_idp_certificate_expiring", TierAdmin},
	TypeSAMLIdPVerboseLoggingEnabled:   {"saml_idp_verbose_logging_enabled", TierAdmin},
	TypeSAMLIdPVerboseLoggingDisabled:  {"saml_idp_verbose_logging_disabled", TierAdmin},
	TypeSAMLIdPDeletionBlocked:         {"saml_idp_deletion_blocked", TierAdmin},
	TypeSAMLIdPTested:                  {"saml_idp_tested", TierAdmin},
	TypeSAMLIdPSPCertificateCreated:    {"saml_idp_sp_certificate_created", TierAdmin},
	TypeSAMLIdPSPCertificatePublished:  {"saml_idp_sp_certificate_published", TierAdmin},
	TypeSAMLIdPSPCertificateRotated:    {"saml_idp_sp_certificate_rotated", TierAdmin},
	TypeSAMLIdPSPCertificateRetired:    {"saml_idp_sp_certificate_retired", TierAdmin},
	TypeSAMLDomainBound:                {"saml_domain_bound", TierAdmin},
	TypeSAMLDomainUnbound:              {"saml_domain_unbound", TierAdmin},
	TypeSAMLDomainRebound:              {"saml_domain_rebound", TierAdmin},
	TypeSAMLDomainConflicted:           {"saml_domain_conflicted", TierAdmin},
	TypeSAMLDomainVerified:             {"saml_domain_verified", TierAdmin},
	TypeAttributeMappingCreated:        {"attribute_mapping_created", TierAdmin},
	TypeAttributeMappingUpdated:        {"attribute_mapping_updated", TierAdmin},
	TypeAttributeMappingDeleted:        {"attribute_mapping_deleted", TierAdmin},
	TypeAttributeMappingExamplesFailed: {"attribute_mapping_examples_failed", TierAdmin},
	TypeSAMLAssertionReceived:          {"saml_assertion_received", TierOperational},
	TypeSAMLAssertionFailed:            {"saml_assertion_failed", TierSecurity},
	TypeSAMLAssertionReplayed:          {"saml_assertion_replayed", TierSecurity},
	TypeEmailDomainNotBound:            {"email_domain_not_bound", TierSecurity},
	TypeRefusalsCounted:                {"refusals_counted", TierSecurity},
	TypeUserSignedInSAML:               {"user_signed_in_saml", TierSecurity},
	TypeUserSignedOut:                  {"user_signed_out", TierSecurity},
	TypeUserCreatedJIT:                 {"user_created_jit", TierSecurity},
	TypeUserAttributesSynced:           {"user_attributes_synced", TierOperational},
	TypeUserProfileUpdated:             {"user_profile_updated", TierOperational},
	TypeUserIdPAttributeMirrorFailed:   {"user_idp_attribute_mirror_failed", TierAdmin},
	TypeUserIdPGroupRuleFailed:         {"user_idp_group_rule_failed", TierAdmin},
	TypeUserSuspended:                  {"user_suspended", TierSecurity},
	TypeUserResumed:                    {"user_resumed", TierSecurity},
	TypeUserDeleted:                    {"user_deleted", TierSecurity},
	TypeUserAccessDenied:               {"user_access_denied", TierSecurity},
	TypeSessionRevoked:                 {"session_revoked", TierSecurity},
	TypeSessionHandedOver:              {"session_handed_over", TierSecurity},
	TypeSecondFactorEnrolled:           {"second_factor_enrolled", TierSecurity},
	TypeSecondFactorVerified:           {"second_factor_verified", TierSecurity},
	TypeSecondFactorFailed:             {"second_factor_failed", TierSecurity},
	TypeSecondFactorReset:              {"second_factor_reset", TierSecurity},
	TypeSSOBreakGlass:                  {"sso_break_glass", TierSecurity},
	TypeIdPGroupDiscovered:             {"idp_group_discovered", TierOperational},
	TypeIdPGroupInvalidated:            {"idp_group_invalidated", TierOperational},
	TypeIdPGroupMemberAdded:            {"idp_group_member_added", TierOperational},
	TypeIdPGroupMemberRemoved:          {"idp_group_member_removed", TierOperational},
	TypeAuditCheckpoint:                {"audit_checkpoint", TierSystem},
	TypeAuditRetentionApplied:          {"audit_retention_applied", TierSystem},
	TypeDebugEntryViewed:               {"debug_entry_viewed", TierSecurity},
	TypeServiceProviderCreated:         {"service_provider_created", TierAdmin},
	TypeServiceProviderUpdated:         {"service_provider_updated", TierAdmin},
	TypeServiceProviderDeleted:         {"service_provider_deleted", TierAdmin},
	TypeSnapshotProgrammed:             {"snapshot_programmed", TierSystem},
	TypeAuditQueried:                   {"audit_queried", TierSecurity},
	TypeManagementDenied:               {"management_denied", TierSecurity},
	TypeAuditDeadLettered:              {"audit_dead_lettered", TierSecurity},
	TypeAuditKeyRotated:                {"audit_key_rotated", TierSecurity},
	TypeSignInExplained:                {"sign_in_explained", TierSecurity},
	TypeHeaderKeyAdded:                 {"header_key_added", TierAdmin},
	TypeHeaderKeyActivated:             {"header_key_activated", TierAdmin},
	TypeHeaderKeyRetired:               {"header_key_retired", TierAdmin},
}

var typeByName = func() map[string]Type {
	m := make(map[string]Type, len(typeTable))
	for t := Type(1); t < typeEnd; t++ {
		m[typeTable[t].name] = t
	}
	return m
}()

// AllTypes lists every type in the order of declaration.
func AllTypes() []Type {
	all := make([]Type, 0, typeEnd-1)
	for t := Type(1); t < typeEnd; t++ {
		all = append(all, t)
	}
	return all
}

// ParseType finds a type by its published name. The error lists no names: `kubectl sso audit --help` does.
func ParseType(name string) (Type, error) {
	if t, ok := typeByName[name]; ok {
		return t, nil
	}
	return 0, fmt.Errorf("unknown audit record type %q", name)
}

// String is the published name, or "" for a value outside the list.
func (t Type) String() string {
	if t >= typeEnd {
		return ""
	}
	return typeTable[t].name
}

// Tier is the tier that records of the type carry.
func (t Type) Tier() Tier {
	if t >= typeEnd {
		return ""
	}
	return typeTable[t].tier
}

// MarshalText writes the published name; a value outside the list is an error, so no unnamed record can be written.
func (t Type) MarshalText() ([]byte, error) {
	if name := t.String(); name != "" {
		return []byte(name), nil
	}
	return nil, fmt.Errorf("audit record type %d is not in the list", uint8(t))
}

// UnmarshalText reads a published name.
func (t *Type) UnmarshalText(text []byte) error {
	parsed, err := ParseType(string(text))
	if err != nil {
		return err
	}
	*t = parsed
	return nil
}
