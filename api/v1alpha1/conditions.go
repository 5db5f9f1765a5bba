package v1alpha1

// Condition types. Every type of a kind is set on the operator's first visit, Unknown where nothing is known yet, except
// DeletionBlocked and GroupOverage, which are there only while they hold.
const (
	// ConditionReady sums up the others: True means that every ready pod serves this generation now. On every kind.
	ConditionReady = "Ready"
	// ConditionAccepted is True when the spec is valid and conflicts with nothing. On every kind.
	ConditionAccepted = "Accepted"
	// ConditionProgrammed is True when every ready pod serves this generation. On every kind.
	ConditionProgrammed = "Programmed"

	// ConditionStoreReady is True when the store answers and has the right schema. On ServiceProvider.
	ConditionStoreReady = "StoreReady"
	// ConditionAvailable is True when at least one pod is ready. On ServiceProvider.
	ConditionAvailable = "Available"

	// ConditionTrustEstablished is True when there are keys and endpoints of the IdP to work with. On IdentityProvider.
	ConditionTrustEstablished = "TrustEstablished"
	// ConditionMetadataFresh is False while the last good copy is served because a newer one could not be had. On IdentityProvider.
	ConditionMetadataFresh = "MetadataFresh"
	// ConditionCertificatesValid is False when a certificate of either side has expired or soon will. On IdentityProvider.
	ConditionCertificatesValid = "CertificatesValid"
	// ConditionDeletionBlocked is True while a deleted IdentityProvider is held by its DomainBindings.
	ConditionDeletionBlocked = "DeletionBlocked"
	// ConditionGroupOverage is True while the IdP leaves out the groups of somebody because there are too many. On IdentityProvider.
	ConditionGroupOverage = "GroupOverage"

	// ConditionVerified is True when the domain is proved to be yours, or no proof is asked for. On DomainBinding.
	ConditionVerified = "Verified"

	// ConditionExamplesPassed is True when every example of the mapping came out as expected. On AttributeMapping.
	ConditionExamplesPassed = "ExamplesPassed"
)

// Reasons of any condition.
const (
	// ReasonPending: not looked at yet (Unknown).
	ReasonPending = "Pending"
	// ReasonDependent: another condition of the object has to become True first; its message says what to do.
	ReasonDependent = "Dependent"
	// ReasonTerminating: the object is being deleted.
	ReasonTerminating = "Terminating"
)

// Reasons of Accepted.
const (
	// ReasonAccepted: the spec is valid (True).
	ReasonAccepted = "Accepted"
	// ReasonInvalid: a field has a value that cannot work; the message names it.
	ReasonInvalid = "Invalid"
	// ReasonServiceProviderNotFound: there is no ServiceProvider of that name in the namespace.
	ReasonServiceProviderNotFound = "ServiceProviderNotFound"
	// ReasonServiceProviderNotAccepted: the ServiceProvider that the object belongs to is not accepted itself.
	ReasonServiceProviderNotAccepted = "ServiceProviderNotAccepted"
	// ReasonIdentityProviderNotFound: there is no IdentityProvider of that name in the namespace.
	ReasonIdentityProviderNotFound = "IdentityProviderNotFound"
	// ReasonIdentityProviderNotAccepted: the IdentityProvider that the object refers to is not accepted itself.
	ReasonIdentityProviderNotAccepted = "IdentityProviderNotAccepted"
	// ReasonConflicted: an older object claims the same (domain, mapping, catch-all, URL); the message names it.
	ReasonConflicted = "Conflicted"
	// ReasonPublicSuffix: the domain is one under which anybody can register names.
	ReasonPublicSuffix = "PublicSuffix"
	// ReasonInvalidDomain: the domain is not an A-label; the message shows the form to write.
	ReasonInvalidDomain = "InvalidDomain"
	// ReasonInvalidRule: a CEL rule does not compile or costs too much; the message names it.
	ReasonInvalidRule = "InvalidRule"
	// ReasonUnknownProfileAttribute: the mapping fills an attribute that is neither standard nor named by the ServiceProvider.
	ReasonUnknownProfileAttribute = "UnknownProfileAttribute"
	// ReasonSnapshotTooLarge: there is no room for the object, or for what was added to it; the message says what to move or to make smaller.
	ReasonSnapshotTooLarge = "SnapshotTooLarge"
)

// Reasons of TrustEstablished.
const (
	// ReasonEstablished: there are keys and endpoints (True).
	ReasonEstablished = "Established"
	// ReasonTrustFailed: metadata or certificates could not be read and there is no last good copy.
	ReasonTrustFailed = "TrustFailed"
	// ReasonFetching: the first fetch is under way (Unknown).
	ReasonFetching = "Fetching"
)

// Reasons of TrustEstablished and MetadataFresh that name a cause.
const (
	// ReasonReferenceNotFound: a referenced ConfigMap or Secret, or its key, is missing.
	ReasonReferenceNotFound = "ReferenceNotFound"
	// ReasonInvalidCertificate: a certificate does not parse; the message names the field.
	ReasonInvalidCertificate = "InvalidCertificate"
	// ReasonInvalidMetadata: what came is not usable SAML metadata; the message says why.
	ReasonInvalidMetadata = "InvalidMetadata"
	// ReasonEntityNotFound: the aggregate has no entity with the entity ID that is asked for.
	ReasonEntityNotFound = "EntityNotFound"
	// ReasonEntityIDChanged: the metadata has another entity ID than before; it is refused until spec.saml.metadata.entityID pins it.
	ReasonEntityIDChanged = "EntityIDChanged"
	// ReasonSignatureInvalid: the metadata is not signed by signatureCertificate.
	ReasonSignatureInvalid = "SignatureInvalid"
	// ReasonMetadataExpired: the metadata's validUntil is over.
	ReasonMetadataExpired = "MetadataExpired"
	// ReasonFetchFailed: the server could not be reached or did not answer with metadata.
	ReasonFetchFailed = "FetchFailed"
)

// Reasons of MetadataFresh that are True.
const (
	// ReasonFresh: the last refresh was good.
	ReasonFresh = "Fresh"
	// ReasonNotRefreshed: the source is not a URL; there is nothing to refresh.
	ReasonNotRefreshed = "NotRefreshed"
	// ReasonMetadataExpiring: a quarter of the time to the metadata's validUntil is left, or less.
	ReasonMetadataExpiring = "MetadataExpiring"
)

// Reasons of CertificatesValid.
const (
	// ReasonValid: every certificate is good for more than 90 days (True).
	ReasonValid = "Valid"
	// ReasonExpiringWithin90Days, 30 and 7: the first one to expire does so within that time (True until it is over).
	ReasonExpiringWithin90Days = "ExpiringWithin90Days"
	ReasonExpiringWithin30Days = "ExpiringWithin30Days"
	ReasonExpiringWithin7Days  = "ExpiringWithin7Days"
	// ReasonExpired: a certificate in use has expired.
	ReasonExpired = "Expired"
)

// Reasons of Programmed.
const (
	// ReasonProgrammed: every ready pod serves this generation (True).
	ReasonProgrammed = "Programmed"
	// ReasonWaitingForPods: some ready pods serve an older revision.
	ReasonWaitingForPods = "WaitingForPods"
	// ReasonNoReadyPods: no pod is ready to say what it serves.
	ReasonNoReadyPods = "NoReadyPods"
	// ReasonServingLastGood: the spec of this generation cannot be served; the last good one is.
	ReasonServingLastGood = "ServingLastGood"
	// ReasonNotServed: the object is left out of what the pods serve.
	ReasonNotServed = "NotServed"
)

// Reasons of Ready, besides those of the conditions that it sums up.
const (
	// ReasonServing: every ready pod serves this generation (True).
	ReasonServing = "Serving"
	// ReasonDisabled: state is Disabled; everything else is in order (False).
	ReasonDisabled = "Disabled"
	// ReasonDeletionBlocked: the IdentityProvider is being deleted and serves on until its last domain binding is gone (True).
	ReasonDeletionBlocked = "DeletionBlocked"
)

// Reasons of DeletionBlocked.
const (
	// ReasonDomainsBound: DomainBindings still refer to the IdentityProvider; the message names them.
	ReasonDomainsBound = "DomainsBound"
)

// Reasons of GroupOverage.
const (
	// ReasonTooManyGroups: the IdP sends a link instead of groups; the message says what to change there.
	ReasonTooManyGroups = "TooManyGroups"
)

// Reasons of Verified.
const (
	// ReasonVerified: the TXT record is there (True).
	ReasonVerified = "Verified"
	// ReasonFormerValue: the TXT record has the value that an earlier version asked for. It counts as long as the ServiceProvider exists, and not for one that was
	// restored from a backup; the message has the value to write beside it (True).
	ReasonFormerValue = "FormerValue"
	// ReasonNotRequired: verification.method is None (True).
	ReasonNotRequired = "NotRequired"
	// ReasonRecordNotFound: the TXT record is missing or has another value; the message says what to write.
	ReasonRecordNotFound = "RecordNotFound"
	// ReasonLookupFailed: the DNS servers did not answer.
	ReasonLookupFailed = "LookupFailed"
)

// Reasons of ExamplesPassed.
const (
	// ReasonPassed: every example came out as expected (True).
	ReasonPassed = "Passed"
	// ReasonNoExamples: the mapping has none (True).
	ReasonNoExamples = "NoExamples"
	// ReasonExampleFailed: an example came out differently; the last good mapping stays in service.
	ReasonExampleFailed = "ExampleFailed"
)

// Reasons of StoreReady and Available.
const (
	// ReasonStoreReady: the store answers (True).
	ReasonStoreReady = "StoreReady"
	// ReasonStoreUnavailable: the store does not answer.
	ReasonStoreUnavailable = "StoreUnavailable"
	// ReasonAvailable: at least one pod is ready (True).
	ReasonAvailable = "Available"
)

// ConditionTypes returns the condition types that every object of the kind has from the operator's first visit, Ready last.
// It returns nil for a kind of another group.
func ConditionTypes(kind string) []string {
	switch kind {
	case KindServiceProvider:
		return []string{ConditionAccepted, ConditionStoreReady, ConditionAvailable, ConditionProgrammed, ConditionReady}
	case KindIdentityProvider:
		return []string{ConditionAccepted, ConditionTrustEstablished, ConditionMetadataFresh, ConditionCertificatesValid, ConditionProgrammed, ConditionReady}
	case KindDomainBinding:
		return []string{ConditionAccepted, ConditionVerified, ConditionProgrammed, ConditionReady}
	case KindAttributeMapping:
		return []string{ConditionAccepted, ConditionExamplesPassed, ConditionProgrammed, ConditionReady}
	}
	return nil
}
