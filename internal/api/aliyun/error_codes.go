package aliyun

import "net/http"

// errorCode is one code of the vendor: its HTTP status, what it says unless the place that raises it
// knows better, and, for a code that is never raised here, why not.
type errorCode struct {
	status  int
	message string
	never   string
}

// Reasons for which a code of the vendor is not raised.
const (
	billing = "nothing is sold here"
	cloud   = "it is about a part of the vendor's cloud"
	classes = "hosts have no classes"
	backups = "pgleap keeps no backups"
	keys    = "there is no key management service"
	another = "another code says it"
)

const (
	status400 = http.StatusBadRequest
	status403 = http.StatusForbidden
	status404 = http.StatusNotFound
	status500 = http.StatusInternalServerError
)

// errorCodes are all codes that the vendor documents for the operations of this package, spelled as
// there, and the few that a server needs besides. Missing<Parameter> is a code for every parameter.
var errorCodes = map[string]errorCode{
	// Raised by the door, before an operation runs.
	"MissingSignature":                           {status400, "The request is not signed.", ""},
	"InvalidAccessKeyId.NotFound":                {status404, "Specified access key is not found.", ""},
	"InvalidAccessKeyId.Inactive":                {status400, "Specified access key is disabled.", ""},
	"SignatureDoesNotMatch":                      {status400, mismatch, ""},
	"IncompleteSignature":                        {status400, "The signature is not complete.", ""},
	"SignatureNonceUsed":                         {status400, "Specified signature nonce was used already.", ""},
	"InvalidTimeStamp.Format":                    {status400, "Specified time stamp or date value must be UTC and look like 2026-01-02T03:04:05Z.", ""},
	"InvalidTimeStamp.Expired":                   {status400, "Specified time stamp or date value is expired.", ""},
	"InvalidVersion":                             {status400, "Specified parameter Version is not valid.", ""},
	"InvalidAction.NotFound":                     {status404, "Specified api is not found, please check your url and method.", ""},
	"UnsupportedHTTPMethod":                      {status400, "The method of a request must be GET or POST.", ""},
	"RequestEntityTooLarge":                      {http.StatusRequestEntityTooLarge, "The request is too large.", ""},
	"InvalidSecurityToken.Malformed":             {status400, "Security tokens are not issued here; sign with an access key alone.", ""},
	"InvalidSecurityToken.Expired":               {status400, "Specified security token is expired.", "there are no temporary keys"},
	"InvalidSecurityToken.MismatchWithAccessKey": {status400, "Specified security token belongs to another key.", "there are no temporary keys"},
	"Forbidden.RAM":                              {status403, "User not authorized to operate on the specified resource, or this API doesn't support RAM.", ""},
	"NoPermission":                               {status403, "User not authorized to operate on the specified resource.", another + ": Forbidden.RAM"},
	"Throttling.User":                            {status400, "Request was denied due to user flow control.", ""},
	"Throttling.Api":                             {status400, "Request was denied due to api flow control.", "the limit is one for each key"},
	"Throttling":                                 {status400, "Request was denied due to flow control.", "the limit is one for each key"},
	"IdempotentParameterMismatch":                {status400, "The client token was used with other parameters.", ""},
	"IdempotentProcessing":                       {status400, "A request with the same client token is running.", ""},
	"ServiceUnavailable":                         {http.StatusServiceUnavailable, "The service does not answer at present; try again.", ""},
	"InternalError":                              {status500, "The server failed to carry out the request; look for the request's id in its log.", ""},
	"Parameters.Invalid":                         {status400, "A parameter is not valid.", ""},

	// Raised by the operations.
	"Api.NotSupport":                           {status400, "The operation is switched off.", "no operation can be switched off"},
	"InvalidDBInstanceId.NotFound":             {status400, "The database instance does not exist.", another + ": InvalidDBInstanceName.NotFound"},
	"InvalidDBInstanceName.NotFound":           {status404, "The database instance does not exist.", ""},
	"InvalidParam":                             {status400, "A parameter is not valid.", "wal_level is never lowered"},
	"Abs.InvalidAccount.NotFound":              {status400, "The role that pgleap connects as is missing on the source, or is not a superuser.", ""},
	"SqlExecuteFailedOrTimeout":                {status400, "A statement failed or took too long.", ""},
	"InvalidConnectionString.Duplicate":        {status400, "The address of the target is taken.", "nobody chooses the address of a target"},
	"RequiredParam.NotFound":                   {status400, "A mandatory parameter is absent.", ""},
	"InvalideStatus.Format":                    {status400, "The present state of the instance does not permit this.", ""},
	"InvalidReleasedKeepPolicy.Format":         {status400, "ReleasedKeepPolicy must be None, Lastest or All.", ""},
	"InvalidDBInstanceEngineType.Format":       {status400, "The instance is not a PostgreSQL that can be upgraded.", ""},
	"VpcNetworkTypeNotSupport":                 {status400, "InstanceNetworkType must be VPC.", ""},
	"MirrorInsExists":                          {status400, "The instance is being upgraded already.", ""},
	"ProductInstanceReleased":                  {status400, "The instance is released already.", ""},
	"InvalidReduceDiskSize":                    {status403, "The target has less room than the source uses.", ""},
	"InvalidVswitchId":                         {status403, "VSwitchId is not valid.", ""},
	"OperationDenied.ZoneResource":             {status403, "No host has room for the target.", ""},
	"Request.NotFound":                         {status404, "The task does not exist.", ""},
	"HostInfo.NotFound":                        {status404, "The agent on the instance's host does not answer.", ""},
	"ExternalFailure":                          {status500, "A part that the operation needs failed.", ""},
	"RequestMetaDataFailed":                    {status500, "The record cannot be read or written.", ""},
	"InvokeProxyFailure":                       {status500, "The engine that runs upgrades does not answer.", ""},
	"ParamNotFound":                            {status403, "A parameter is absent.", another + ": Missing<Parameter>"},
	"InvalidUpgradePrecheckResult":             {status400, "No successful check for this target in the last 7 days is valid.", ""},
	"TargetEngineVersion.Parameters.NotFound":  {status400, "The target version is not available.", ""},
	"InvalidDBInstanceStorageType":             {status400, "DBInstanceStorageType is not valid.", ""},
	"InvalidInstanceNetworkType":               {status400, "InstanceNetworkType is not valid.", another + ": VpcNetworkTypeNotSupport"},
	"InvalidVPCId":                             {status400, "VPCId is not valid.", ""},
	"InvalidDedicatedHostGroupId":              {status400, "The host group is not valid.", cloud},
	"InvalidPayType":                           {status400, "PayType is not valid.", ""},
	"InvalidEngineVersion":                     {status400, "TargetMajorVersion is not valid.", ""},
	"InvalidDBInstanceStorage":                 {status400, "DBInstanceStorage is not valid.", ""},
	"InvalidSwitchOver":                        {status400, "SwitchOver must be true or false.", ""},
	"PrimaryInstanceWithReadonlyNotSupport":    {status400, "The instance has standbys that are not made anew.", ""},
	"InvalidSwitchTimeMode":                    {status400, "SwitchTimeMode must be Immediate or MaintainTime.", ""},
	"InvalidSwitchTime":                        {status400, "SwitchTime is not valid.", ""},
	"InvalidCollectStats":                      {status400, "CollectStatMode must be Before or After.", ""},
	"IncorrectDBInstanceState":                 {status400, "The present state of the instance does not permit this.", ""},
	"InvalidDBinstanceClass.ValueNotSupported": {status400, "DBInstanceClass is not valid.", classes},
	"InvalidUpgradeMode":                       {status400, "UpgradeMode is not valid.", ""},
	"IncorrectDBInstanceLockMode":              {status404, "The instance is locked.", "there is no lock of that kind"},
	"InvalidSourceCategory":                    {status400, "The edition of the instance cannot be upgraded.", "there is one edition"},
	"InvalidBizType.Format":                    {status400, "The kind of instance cannot be upgraded.", another + ": InvalidDBInstanceEngineType.Format"},
	"MinorVersionNotSupport":                   {status400, "The minor version of the source is too old.", "an old minor version is a finding of the report"},
	"IncorrectMinorVersion":                    {status403, "The minor version of the source is too old.", "an old minor version is a finding of the report"},
	"IncorrectTargetClasscode":                 {status400, "DBInstanceClass is not valid.", classes},
	"UnsupportedClassCode":                     {status400, "DBInstanceClass is not offered.", classes},
	"InvalidInstanceLevel.DiskType":            {status400, "DBInstanceClass does not fit the storage.", classes},
	"InvalidInstanceLevel.Malformed":           {status403, "DBInstanceClass cannot do this.", classes},
	"InvalidUserOperatorPermission":            {status403, "The instance belongs to somebody else.", another + ": Forbidden.RAM"},
	"NotInFlowController":                      {status403, "The feature is not open to this account.", "every feature is open to whom the policy allows it"},
	"InvalidBackupSet":                         {status400, "The backup is not valid.", backups},
	"BackupPolicyNotSupport":                   {status400, "The backup policy does not permit this.", backups},
	"KmsApiError":                              {status400, "The key management service failed.", keys},
	"InvalidKmsKey":                            {status403, "The key is not valid.", keys},
	"InvalidClusterKms":                        {status404, "The key does not exist.", keys},

	// Never raised: they are about money and the vendor's cloud.
	"Order.ComboInstanceNotAllowOperate": {status400, "The instance is part of a package.", billing},
	"Price.PricingPlanResultNotFound":    {status400, "There is no price.", billing},
	"Order.NoRealNameAuthentication":     {status400, "The account's owner is not verified.", billing},
	"InsufficientAvailableQuota":         {status400, "The quota is used up.", billing},
	"CommodityServiceCalling.Exception":  {status400, "The shop failed.", billing},
	"Commodity.InvalidComponent":         {status400, "The article is not valid.", billing},
	"Price.CommoditySys":                 {status400, "The shop failed.", billing},
	"OrdTCommodityQueryError":            {status400, "The shop failed.", billing},
	"System.SaleValidateFailed":          {status400, "The article cannot be sold.", billing},
	"Pay.InsufficientBalance":            {status400, "The balance is too low.", billing},
	"pay.noCreditCard":                   {status400, "There is no credit card.", billing},
	"Pay.NoCreditCard":                   {status400, "There is no credit card.", billing},
	"noAvailablePaymentMethod":           {status400, "There is no way to pay.", billing},
	"Order.PeriodInvalid":                {status400, "The period is not valid.", billing},
	"Order.InstHasUnpaidOrder":           {status400, "An order is not paid.", billing},
	"OrderStatus.UnPaid":                 {status403, "An order is not paid.", billing},
	"BasicInfoUncompleted":               {status400, "The account's details are incomplete.", billing},
	"Risk.RiskControlRejection":          {status400, "The account is a risk.", billing},
	"ContainForbiddenLabelError":         {status400, "The account has a forbidden label.", billing},
	"RegionDissolvedEOM":                 {status400, "The region is closed.", cloud},
	"RegionEndTimeDissolvedAustralia":    {status400, "The region is closed.", cloud},
	"RegionEndTimeDissolvedIndia":        {status400, "The region is closed.", cloud},
	"ColdData.EngineVersionNotSupport":   {status400, "Archived data cannot be kept at this version.", cloud},
	"ColdData.MinorVersionNotSupport":    {status400, "Archived data cannot be kept at this version.", cloud},
	"CloudSSDNotSupport":                 {status403, "The storage cannot be used.", cloud},
}
