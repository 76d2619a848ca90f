package huawei

import "strings"

// language is what a caller reads: X-Language.
type language int

const (
	english language = iota
	chinese
)

// languageOf reads the header X-Language. What is unknown is English, the vendor's default.
func languageOf(header string) language {
	if strings.EqualFold(strings.TrimSpace(header), "zh-cn") {
		return chinese
	}
	return english
}

// message names a text that exists in both languages.
type message string

// text returns a message in a language. Arguments are pairs of a placeholder's name and its value.
func (m message) text(in language, args ...string) string {
	t := texts[m][in]
	if len(args) == 0 {
		return t
	}
	pairs := make([]string, len(args))
	for i, arg := range args {
		if pairs[i] = arg; i%2 == 0 {
			pairs[i] = "{" + arg + "}"
		}
	}
	return strings.NewReplacer(pairs...).Replace(t)
}

// The messages by what they are about: the request as such, who calls, parameters, the state of
// things, and the report of an inspection.
const (
	msgUnknownAPI        message = "unknown API"
	msgMalformedQuery    message = "malformed query"
	msgRepeatedParameter message = "repeated parameter"
	msgMalformedJSON     message = "malformed JSON"
	msgUnreadBody        message = "unread body"
	msgTooLarge          message = "too large"
	msgThrottled         message = "throttled"
	msgTimeout           message = "timeout"
	msgInternal          message = "internal"
	msgUnavailable       message = "unavailable"

	msgNoCredentials       message = "no credentials"
	msgBadAuthorization    message = "bad authorization"
	msgBadAlgorithm        message = "bad algorithm"
	msgDerivedKey          message = "derived key"
	msgNotSigned           message = "not signed"
	msgSignedHeaderMissing message = "signed header missing"
	msgBadDate             message = "bad date"
	msgSkew                message = "skew"
	msgUnsignedPayload     message = "unsigned payload"
	msgOtherPayload        message = "other payload"
	msgBadSignature        message = "bad signature"
	msgReplayed            message = "replayed"
	msgBadToken            message = "bad token"
	msgBadPassword         message = "bad password"
	msgForbidden           message = "forbidden"
	msgOtherProject        message = "other project"

	msgRequired       message = "required"
	msgInteger        message = "integer"
	msgChoice         message = "choice"
	msgBoolean        message = "boolean"
	msgString         message = "string"
	msgVersion        message = "version"
	msgProjectID      message = "project id"
	msgProjectName    message = "project name"
	msgInstanceID     message = "instance id"
	msgNoBody         message = "no body"
	msgNotAnObject    message = "not an object"
	msgIdentity       message = "identity"
	msgOptionRefused  message = "option refused"
	msgInstanceAbsent message = "instance absent"
	msgJobAbsent      message = "job absent"

	msgRunning         message = "running"
	msgModeUnavailable message = "mode unavailable"
	msgUnsupported     message = "unsupported"
	msgTarget          message = "target"
	msgState           message = "state"
	msgFormer          message = "former"
	msgNoReport        message = "no report"
	msgStorage         message = "storage"
	msgNeverChecked    message = "never checked"
	msgNeverUpgraded   message = "never upgraded"

	msgDetail message = "detail"

	msgReportTitle      message = "report title"
	msgReportBlockers   message = "report blockers"
	msgReportWarnings   message = "report warnings"
	msgReportInfos      message = "report infos"
	msgReportNotChecked message = "report not checked"
	msgReportWhy        message = "report why"
	msgReportRemedy     message = "report remedy"
	msgReportSQL        message = "report SQL"
	msgReportMore       message = "report more"
	msgReportAccepted   message = "report accepted"
	msgReportPassed     message = "report passed"
	msgReportNotPassed  message = "report not passed"
)

// texts are the words, English and Chinese. It is never changed.
var texts = map[message][2]string{
	msgUnknownAPI:        {"The API does not exist: {method} {path}.", "API 不存在：{method} {path}。"},
	msgMalformedQuery:    {"The query string cannot be decoded.", "查询字符串无法解码。"},
	msgRepeatedParameter: {"The query parameter {name} is given more than once.", "查询参数 {name} 重复出现。"},
	msgMalformedJSON:     {"The request body is not valid JSON.", "请求体不是合法的 JSON。"},
	msgUnreadBody:        {"The request body could not be read to its end.", "请求体未能完整读取。"},
	msgTooLarge: {
		"The request is too large: at most {body} of body and {header} of header are accepted.",
		"请求过大：请求体最大 {body}，请求头最大 {header}。",
	},
	msgThrottled:   {"The throttling threshold has been reached. Try again in {seconds} s.", "已达到流量控制阈值，请在 {seconds} 秒后重试。"},
	msgTimeout:     {"The backend did not answer in time.", "后端服务响应超时。"},
	msgInternal:    {"The server failed to carry out the request. Its log has the cause beside the request ID.", "服务器处理请求失败，原因已连同请求 ID 记入服务器日志。"},
	msgUnavailable: {"A part of the service does not answer.", "服务的某个组件没有响应。"},

	msgNoCredentials: {
		"Incorrect IAM authentication information: neither an Authorization nor an X-Auth-Token header was sent.",
		"IAM 认证信息错误：请求未携带 Authorization 或 X-Auth-Token 请求头。",
	},
	msgBadAuthorization: {
		"Incorrect IAM authentication information: the Authorization header cannot be parsed.",
		"IAM 认证信息错误：无法解析 Authorization 请求头。",
	},
	msgBadAlgorithm: {
		"Incorrect IAM authentication information: the signature algorithm is not supported; use SDK-HMAC-SHA256.",
		"IAM 认证信息错误：不支持该签名算法，请使用 SDK-HMAC-SHA256。",
	},
	msgDerivedKey: {
		"Incorrect IAM authentication information: signatures with a derived key (V11-HMAC-SHA256) are not supported; use SDK-HMAC-SHA256.",
		"IAM 认证信息错误：不支持派生密钥签名（V11-HMAC-SHA256），请使用 SDK-HMAC-SHA256。",
	},
	msgNotSigned: {
		"Incorrect IAM authentication information: the header {name} must be among the SignedHeaders.",
		"IAM 认证信息错误：SignedHeaders 必须包含请求头 {name}。",
	},
	msgSignedHeaderMissing: {
		"Incorrect IAM authentication information: the signed header {name} must be sent exactly once.",
		"IAM 认证信息错误：已签名的请求头 {name} 必须且只能出现一次。",
	},
	msgBadDate: {
		"Incorrect IAM authentication information: X-Sdk-Date must have the form yyyymmddThhmmssZ.",
		"IAM 认证信息错误：X-Sdk-Date 的格式必须为 yyyymmddThhmmssZ。",
	},
	msgSkew: {
		"Incorrect IAM authentication information: X-Sdk-Date differs from the server's clock ({now}) by more than 15 minutes.",
		"IAM 认证信息错误：X-Sdk-Date 与服务器时间（{now}）相差超过 15 分钟。",
	},
	msgUnsignedPayload: {
		"Incorrect IAM authentication information: UNSIGNED-PAYLOAD is not accepted; sign the request body.",
		"IAM 认证信息错误：不接受 UNSIGNED-PAYLOAD，请对请求体签名。",
	},
	msgOtherPayload: {
		"Incorrect IAM authentication information: X-Sdk-Content-Sha256 is not the SHA-256 digest of the request body.",
		"IAM 认证信息错误：X-Sdk-Content-Sha256 与请求体的 SHA-256 摘要不一致。",
	},
	msgBadSignature: {
		"Incorrect IAM authentication information: verify aksk signature fail: the access key is unknown or disabled, or the signature does not match.",
		"IAM 认证信息错误：AK/SK 签名校验失败，访问密钥不存在或已停用，或者签名不匹配。",
	},
	msgReplayed: {
		"Incorrect IAM authentication information: a request with this signature has been received already; sign it anew.",
		"IAM 认证信息错误：已收到过使用该签名的请求，请重新签名。",
	},
	msgBadToken: {
		"Incorrect IAM authentication information: the token is not valid or has expired, or its access key was disabled or rotated.",
		"IAM 认证信息错误：Token 无效或已过期，或者签发它的访问密钥已停用或已轮换。",
	},
	msgBadPassword: {
		"Incorrect IAM authentication information: the access key is unknown or disabled, or its secret is wrong.",
		"IAM 认证信息错误：访问密钥不存在或已停用，或者密钥内容不正确。",
	},
	msgForbidden: {
		"Policy doesn't allow {action} to be performed on {object}.",
		"策略不允许对 {object} 执行 {action}。",
	},
	msgOtherProject: {
		"The header X-Project-Id names another project than the path.",
		"请求头 X-Project-Id 与路径中的项目 ID 不一致。",
	},

	msgRequired:      {"The parameter {name} is required.", "缺少必选参数 {name}。"},
	msgInteger:       {"The parameter {name} must be an integer from {least} to {greatest}.", "参数 {name} 必须是 {least} 到 {greatest} 之间的整数。"},
	msgChoice:        {"The parameter {name} must be one of: {choices}.", "参数 {name} 的取值必须为以下之一：{choices}。"},
	msgBoolean:       {"The parameter {name} must be true or false.", "参数 {name} 必须为 true 或 false。"},
	msgString:        {"The parameter {name} must be a string.", "参数 {name} 必须为字符串。"},
	msgVersion:       {"The parameter {name} must be a version number, such as 17, 17.2 or 17.2.0.", "参数 {name} 必须是版本号，例如 17、17.2 或 17.2.0。"},
	msgProjectID:     {"The project ID must be 1 to 64 letters, digits, underscores and hyphens.", "项目 ID 必须由 1 到 64 个字母、数字、下划线或连字符组成。"},
	msgProjectName:   {"The project name must be 1 to 64 letters, digits, underscores and hyphens.", "项目名称必须由 1 到 64 个字母、数字、下划线或连字符组成。"},
	msgInstanceID:    {"The format of the instance ID is not valid.", "实例 ID 格式不正确。"},
	msgNoBody:        {"The request body is missing.", "请求体不能为空。"},
	msgNotAnObject:   {"The request body must be a JSON object.", "请求体必须是 JSON 对象。"},
	msgOptionRefused: {"A parameter of the request is not valid.", "请求参数不正确。"},
	msgIdentity: {
		"The identity must be a password (the user name is the access key's ID, the password its secret) or hw_ak_sk.",
		"身份认证方式必须为 password（用户名为访问密钥 ID，密码为访问密钥的密钥内容）或 hw_ak_sk。",
	},
	msgInstanceAbsent: {"The DB instance {id} does not exist.", "实例 {id} 不存在。"},
	msgJobAbsent:      {"The job {id} does not exist.", "任务 {id} 不存在。"},

	msgRunning: {
		"Another operation is running on the DB instance. Try again when it has ended.",
		"该实例正在执行其他操作，请待其完成后重试。",
	},
	msgModeUnavailable: {
		"The blue-green upgrade behind this call is not available in this version of the service. Start a zero-downtime upgrade through another API.",
		"当前版本的服务尚不支持此接口所用的蓝绿升级，请通过其他接口发起零停机升级。",
	},
	msgUnsupported: {"The DB engine or its version does not support this operation.", "该数据库引擎或版本不支持此操作。"},
	msgTarget:      {"The target version is not valid for this DB instance.", "目标版本对该实例无效。"},
	msgState:       {"The present state of the DB instance does not allow this operation.", "实例当前状态不允许执行此操作。"},
	msgFormer: {
		"DB instance {id} is what an earlier upgrade left behind; it cannot be checked or upgraded.",
		"实例 {id} 是先前升级保留下来的源实例，不能对其执行检查或升级。",
	},
	msgNoReport: {
		"There is no valid successful check report for this target version. Run the inspection first: its report holds for 7 days, as long as nothing that it saw changes.",
		"没有针对该目标版本的有效且通过的检查报告。请先执行升级检查；在所检查的内容未发生变化的前提下，报告有效期为 7 天。",
	},
	msgStorage: {
		"The last check found too little disk space for the upgrade. Make room, then run the inspection again.",
		"最近一次检查发现磁盘空间不足，无法升级。请先释放空间，再重新执行升级检查。",
	},
	msgNeverChecked:  {"No major version check has been performed on DB instance {id}.", "实例 {id} 尚未执行过大版本升级检查。"},
	msgNeverUpgraded: {"No major version upgrade has been performed on DB instance {id}.", "实例 {id} 尚未执行过大版本升级。"},

	msgDetail: {"{message} Details: {detail}", "{message}详情：{detail}"},

	msgReportTitle:      {"Major version check of {instance}: PostgreSQL {source} to {target}", "大版本升级检查：实例 {instance}，PostgreSQL {source} 升级到 {target}"},
	msgReportBlockers:   {"Must be resolved before the upgrade:", "升级前必须解决："},
	msgReportWarnings:   {"Warnings:", "警告："},
	msgReportInfos:      {"Information:", "提示："},
	msgReportNotChecked: {"Could not be checked (must be possible before the upgrade):", "未能检查（升级前必须能够检查）："},
	msgReportWhy:        {"Reason: {text}", "原因：{text}"},
	msgReportRemedy:     {"Solution: {text}", "处理建议：{text}"},
	msgReportSQL:        {"SQL, in database {database}:", "在数据库 {database} 中执行的 SQL："},
	msgReportMore:       {"and {count} more", "以及另外 {count} 项"},
	msgReportAccepted:   {"(accepted)", "（已确认接受）"},
	msgReportPassed: {
		"Check passed: {warnings} warning(s). The report is valid until {until}, unless what was checked changes.",
		"检查通过：{warnings} 项警告。报告有效期至 {until}；若所检查的内容发生变化，报告即失效。",
	},
	msgReportNotPassed: {
		"Check not passed: {blockers} blocker(s), {warnings} warning(s), {unchecked} not checked.",
		"检查未通过：{blockers} 项阻断问题，{warnings} 项警告，{unchecked} 项未能检查。",
	},
}
