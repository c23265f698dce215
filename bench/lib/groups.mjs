// Groups of three and more members on this machine, one process each: ours, braft's and etcd's.
import { execFile } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { NODE_FLAGS } from '../../dist/src/local/node-flags.js'
import { etcdLeader } from './kv-load.mjs'
import { freePorts, Member, until } from './members.mjs'

const raftctl = fileURLToPath(new URL('../../bin/run.js', import.meta.url))
const ELECTION_TIMEOUT_MS = 1000

/** Members of one group; `addresses` are host:port in the order of the members. */
class Group {
  constructor(name, addresses, members) {
    this.name = name
    this.addresses = addresses
    this.members = members
  }

  /** The address of the member that leads. */
  leader() {
    const find = { raftctl: raftctlLeader, etcd: etcdLeader }[this.name]
    return until(`${this.name} has a leader`, this.members, () => find(this.addresses))
  }

  async end() {
    await Promise.all(this.members.map((member) => member.end()))
  }

  /** Starts a member that has ended once more, as it was started and with further arguments. */
  restart(at, args = []) {
    this.members[at] = this.startMember(at, args)
  }

  get cpuMs() {
    const all = this.members.map((member) => member.cpuMs)
    return all.includes(null) ? null : all.reduce((sum, ms) => sum + ms, 0)
  }
}

/** `machine` is kv or counter, `args` are further ones of `node start`; `profile` is where each member leaves its processor profile. */
export async function raftctlGroup({
  size = 3,
  directory,
  machine = 'kv',
  args = [],
  profile,
  electionTimeoutMs = ELECTION_TIMEOUT_MS,
  snapshotInterval = '1h',
}) {
  const addresses = (await freePorts(size)).map((port) => `127.0.0.1:${port}`)
  const node = [...NODE_FLAGS, ...(profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`])]
  const group = machine === 'counter' ? ['--group', 'Counter=counter'] : []
  const directories = addresses.map((_, i) => join(directory, `raftctl-${i + 1}`))
  const startMember = (i, more = []) => {
    const data = directories[i]
    mkdirSync(data, { recursive: true })
    const where = ['--listen', addresses[i], '--peers', addresses.join(','), '--data', data]
    const timing = ['--election-timeout', `${electionTimeoutMs}ms`, '--snapshot-interval', snapshotInterval]
    return new Member(
      `raftctl-${i + 1}`,
      process.execPath,
      [...node, raftctl, 'node', 'start', ...where, ...timing, ...group, ...args, ...more],
      directory,
    )
  }
  const members = addresses.map((_, i) => startMember(i))
  await Promise.all(addresses.map((address) => listening(address, members)))
  return Object.assign(new Group('raftctl', addresses, members), { startMember, directories })
}

/** braft's own counter; `bin` is a directory with counter_server. */
export async function braftCounterGroup({ size = 3, directory, bin }) {
  const addresses = (await freePorts(size)).map((port) => `127.0.0.1:${port}`)
  const conf = addresses.map((address) => `${address}:0`).join(',')
  const members = addresses.map((address, i) => {
    const data = join(directory, `braft-${i + 1}`)
    mkdirSync(data, { recursive: true })
    const where = [`-port=${address.split(':')[1]}`, `-conf=${conf}`, `-data_path=${data}`]
    const timing = [`-election_timeout_ms=${ELECTION_TIMEOUT_MS}`, '-snapshot_interval=3600']
    return new Member(`braft-${i + 1}`, join(bin, 'counter_server'), [...where, ...timing], data)
  })
  await Promise.all(addresses.map((address) => listening(address, members)))
  return new Group('braft', addresses, members)
}

/** `bin` is the path of etcd. */
export async function etcdGroup({ size = 3, directory, bin }) {
  const ports = await freePorts(2 * size)
  const addresses = ports.slice(0, size).map((port) => `127.0.0.1:${port}`)
  const peers = ports.slice(size).map((port) => `http://127.0.0.1:${port}`)
  const cluster = peers.map((url, i) => `e${i + 1}=${url}`).join(',')
  const members = addresses.map((address, i) => {
    const client = `http://${address}`
    const where = ['--name', `e${i + 1}`, '--data-dir', join(directory, `etcd-${i + 1}`)]
    const urls = [
      '--listen-client-urls',
      client,
      '--advertise-client-urls',
      client,
      '--listen-peer-urls',
      peers[i],
      '--initial-advertise-peer-urls',
      peers[i],
    ]
    const founding = ['--initial-cluster', cluster, '--initial-cluster-state', 'new', '--initial-cluster-token', 'bench']
    return new Member(
      `etcd-${i + 1}`,
      bin,
      [...where, ...urls, ...founding, '--quota-backend-bytes', '8589934592', '--log-level', 'error'],
      directory,
    )
  })
  await Promise.all(addresses.map((address) => listening(address, members)))
  return new Group('etcd', addresses, members)
}

async function raftctlLeader(addresses) {
  const { stdout } = await promisify(execFile)(process.execPath, [raftctl, 'status', '--json', '-e', addresses.join(',')])
  return JSON.parse(stdout).data.nodes.find(({ leader }) => leader)?.address ?? null
}

function listening(address, members) {
  const [host, port] = address.split(':')
  return until(`${address} listens`, members, () => {
    return new Promise((done, fail) => {
      const socket = connect(Number(port), host, () => done(socket.end()))
      socket.once('error', fail)
    })
  })
}
