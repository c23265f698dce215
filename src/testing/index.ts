/**
 * The test kit, `raftctl/testing`: clusters in memory for the tests of your own state machine. Time is virtual, chance comes from a
 * seed, disks and the network are simulated and can be made to fail; the nodes and their storage code are the real ones.
 */

export { type DamageKind, DiskDamage } from './disk-damage.js'
export { GroupMember, type MemberOptions, type NodeLimits } from './group-member.js'
export { type EventOwner, Scheduler, type SimEvent } from './scheduler.js'
export { SimDisk } from './sim-disk.js'
export { type DiskProfile, SimFileSystem } from './sim-file-system.js'
export { type GroupOptions, type Link, SimGroup } from './sim-group.js'
export type { Birth } from './sim-host.js'
export { SimHost } from './sim-host.js'
export { type NetworkObserver, type NetworkProfile, SimNetwork } from './sim-network.js'
export { SimProcess } from './sim-process.js'
export { SimRandom } from './sim-random.js'
export { SimWorld, type WorldOptions } from './sim-world.js'
export { type ProposedTask, TestCluster, type TestClusterOptions } from './test-cluster.js'
