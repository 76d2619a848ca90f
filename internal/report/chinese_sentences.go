package report

// chineseSentences are the sentences of refusals and of ends of tasks that a caller of Huawei Cloud's API meets, and
// of what could not be checked. A test looks for the English ones in the sources. It is never changed.
var chineseSentences = []saying{
	// What could not be checked.
	{"not looked into, since it does not allow connections", "未检查，因为该数据库不允许连接"},
	{"there is no scratch cluster of the target version", "没有目标版本的临时集群"},
	{"ask the target's programs: %w", "询问目标端的程序：{1}"},
	{"pg_upgrade --check failed without a reason", "pg_upgrade --check 失败，但没有给出原因"},
	{"which minor release of PostgreSQL %d it will be is not known", "不知道将使用 PostgreSQL {1} 的哪个小版本"},
	{"look at rows of %s: %w", "查看 {1} 的行：{2}"},
	{"try %q on the target: %w", "在目标端尝试 {1}：{2}"},
	{"look for update scripts of extension %s: %w", "查找扩展 {1} 的更新脚本：{2}"},
	{"look for library %s: %w", "查找库 {1}：{2}"},
	{
		"pg_upgrade --check stopped at %s, which does not concern an upgrade in this mode, and the schema rehearsal was not finished: %s. Mend either",
		"pg_upgrade --check 在 {1} 处停止，它与此模式的升级无关，而试升级又没有完成：{2}。请解决其中之一",
	},

	// Whether a report allows an upgrade.
	{
		"no valid report allows the upgrade of instance %s to %d in mode %s. %s",
		"没有有效的报告允许实例 {1} 以模式 {3} 升级到 {2}。{4}",
	},
	{"There is no report yet: the precheck will tell.", "尚无报告：请执行升级检查。"},
	{
		"Report %d had blockers: the precheck will tell whether they are gone.",
		"报告 {1} 中有阻断问题：是否已消除，需重新执行升级检查。",
	},
	{"Report %d has expired: the precheck will tell anew.", "报告 {1} 已过期：需重新执行升级检查。"},
	{
		"Report %d is of another source version: the precheck will tell anew.",
		"报告 {1} 针对的是另一个源端版本：需重新执行升级检查。",
	},
	{
		"Whether what report %d saw has changed is unknown (%v): the precheck will tell.",
		"无法得知报告 {1} 所检查的内容是否已变化（{2}）：需重新执行升级检查。",
	},
	{
		"What report %d saw has changed since: %s. The precheck will tell anew.",
		"报告 {1} 所检查的内容此后发生了变化：{2}。需重新执行升级检查。",
	},
	{
		"run a precheck for that version and mode: its report is valid for 7 days, unless what it saw changes",
		"请针对该版本和模式执行升级检查：报告有效期为 7 天，除非所检查的内容发生变化",
	},

	// What else refuses a task.
	{"%s %d of instance %s is running", "实例 {3} 的任务 {2}（{1}）正在运行"},
	{"wait until it has ended", "请等待其结束"},
	{"%s, or abandon it: pgleap switchover %s cancel", "{1}，或放弃该升级：pgleap switchover {2} cancel"},
	{"finish it, which gives up its way back: pgleap finish %s", "请完成该升级，这会放弃回切的可能：pgleap finish {1}"},
	{"task %d has just ended", "任务 {1} 刚刚结束"},
	{"instance %s has no endpoint: nothing could move its clients", "实例 {1} 没有接入点（endpoint）：无法移动其客户端"},
	{
		"remove it and add it again with --pgbouncer own or --pgbouncer adopt",
		"请移除该实例，再用 --pgbouncer own 或 --pgbouncer adopt 重新添加",
	},
	{"instance %s runs PostgreSQL %s: it cannot be upgraded to %d", "实例 {1} 运行的是 PostgreSQL {2}，不能升级到 {3}"},
	{"choose a major version above %d", "请选择高于 {1} 的大版本"},
	{"mode %q is not available yet", "模式 {1} 尚不可用"},
	{"choose %q, %q or %q", "请选择 {1}、{2} 或 {3}"},
	{"the target version is missing", "缺少目标版本"},
	{"give a major version, such as 17", "请给出大版本，例如 17"},
	{
		"the cluster in %s is not the one that was added as instance %s: its system identifier differs",
		"{1} 中的集群不是作为实例 {2} 添加的集群：其系统标识符不同",
	},
	{
		"remove the instance and add it again, if that is the cluster you mean",
		"如果这正是您要的集群，请移除该实例后重新添加",
	},
	{
		"pgleap's own catalogue is in instance %s: its system identifier is the same",
		"pgleap 自己的目录库位于实例 {1} 中：其系统标识符相同",
	},
	{
		"move the catalogue to another cluster, or leave --catalog out, then upgrade",
		"请将目录库移到其他集群，或不使用 --catalog，然后再升级",
	},

	// What does not answer.
	{"the agent of host %s does not answer (%s)", "主机 {1} 的代理程序没有响应（{2}）"},
	{"see whether pgleap runs there and what its log says, then try again", "请查看 pgleap 是否在该主机运行及其日志，然后重试"},
	{"the agent of host %s is not there", "主机 {1} 的代理程序不在"},
	{"wait a moment, then see whether pgleap runs there", "请稍候，然后查看 pgleap 是否在该主机运行"},
	{
		"the agent of host %s belongs to another pgleap server with this catalogue; this one has that of %s",
		"主机 {1} 的代理程序属于使用同一目录库的另一个 pgleap 服务器；本服务器的代理程序位于 {2}",
	},
	{"say it to the server there", "请向该主机的服务器发出请求"},
	{"the record cannot be read or written", "无法读取或写入记录"},
	{"the record cannot be written", "无法写入记录"},
	{"the catalogue cannot be read", "无法读取目录库"},
	{"the engine does not answer", "工作流引擎没有响应"},
	{"the engine did not take task %d", "工作流引擎没有接受任务 {1}"},
	{"nobody carries out workflows yet", "尚无程序执行工作流"},
	{"wait a moment", "请稍候"},
	{"see the server's log", "请查看服务器日志"},
	{"see the server's log, then try again", "请查看服务器日志，然后重试"},

	// How a task ended.
	{"cancelled by the user", "已由用户取消"},
	{"cancelled", "已取消"},
	{"the agent was not heard of: %s", "没有收到代理程序的消息：{1}"},
	{
		"the precheck found what stands in the way: %s; see `pgleap task show %d`",
		"升级检查发现了阻碍升级的问题：{1}；参见 `pgleap task show {2}`",
	},
	{"%s What it had made is removed.", "{1} 其创建的内容已清除。"},
	{"%s It could not be undone; its log tells why.", "{1} 未能撤销；原因见其日志。"},
	{"%s Clients are back at the source.", "{1} 客户端已回到源端。"},
	{"%s does not run", "{1} 未运行"},
	{"start it, and start the upgrade again", "请将其启动，然后重新发起升级"},
	{"the target's data directory %s is not empty", "目标端的数据目录 {1} 不为空"},
	{
		"the source dropped WAL that the upgrade needs (slots %v are lost)",
		"源端已删除升级所需的 WAL（复制槽 {1} 已失效）",
	},
	{
		"something kept writing to the source: it did not stand still in %d attempts",
		"一直有程序向源端写入：尝试 {1} 次后源端仍未静止",
	},
	{"%d sessions do not come through the endpoint: %s", "有 {1} 个会话没有经过接入点：{2}"},
	{
		"a session that does not come through the endpoint is on the source: %s",
		"源端有未经过接入点的会话：{1}",
	},
}
