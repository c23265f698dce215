// Shows with strace that every acknowledged write was one synced write on the leader and on a quorum:
//   node scripts/count-syncs.mjs [--writes 200]
// Starts a cluster of its own, writes keys one after another (so every write is a batch of its own), and counts the completed
// writes to log segments per node, on descriptors that were opened for synchronous data writes (O_DSYNC).
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const writes = Number(process.argv[process.argv.indexOf('--writes') + 1] || 200)
const O_DSYNC = 0o10000
const home = mkdtempSync(join(tmpdir(), 'raftctl-syncs-'))
const env = {
  ...process.env,
  XDG_DATA_HOME: join(home, 'data'),
  XDG_CONFIG_HOME: join(home, 'config'),
  XDG_STATE_HOME: join(home, 'state'),
  CI: '1',
}
const raftctl = (...args) =>
  JSON.parse(execFileSync(process.execPath, [join(root, 'bin/run.js'), ...args, '--json'], { env, encoding: 'utf8' })).data

const cluster = raftctl('cluster', 'start', '--name', 'syncs')
try {
  const traces = await Promise.all(cluster.nodes.map(trace))
  const { KvClient } = await import(join(root, 'dist/src/machines/kv/client.js'))
  const client = new KvClient({ endpoints: cluster.nodes.map((node) => node.address), timeoutMs: 10_000 })
  for (let i = 0; i < writes; i++) await client.put(Buffer.from(`key${i}`), Buffer.from('value'))
  await new Promise((resolve) => setTimeout(resolve, 300))
  const { leader } = raftctl('status', '--context', 'syncs')
  const counts = await Promise.all(traces.map((stop) => stop()))
  const rows = cluster.nodes.map((node, i) => ({
    node: node.id,
    role: node.id === leader ? 'leader' : 'follower',
    acknowledged: writes,
    ...counts[i],
  }))
  console.table(rows)
  const synced = rows.filter((row) => row.syncedWrites >= writes)
  const ok =
    synced.length >= 2 && rows.find((row) => row.role === 'leader').syncedWrites === writes && rows.every((row) => row.unsyncedWrites === 0)
  console.log(
    ok
      ? `every one of ${writes} acknowledged batches was one synced write on the leader, and synced on ${synced.length} of 3 nodes`
      : 'NOT every acknowledged batch was synced once',
  )
  process.exitCode = ok ? 0 : 1
} finally {
  raftctl('cluster', 'rm', 'syncs', '--yes')
  rmSync(home, { recursive: true, force: true })
}
process.exit()

/** Attaches to a node; answers what stops the trace and counts. */
function trace(node) {
  const strace = spawn(
    'strace',
    ['-f', '-y', '-e', 'trace=pwrite64,pwritev,pwritev2,write,writev,fdatasync,fsync', '-p', String(node.pid)],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let text = ''
  return new Promise((resolve, reject) => {
    strace.on('error', (error) => reject(new Error(`strace is needed: ${error.message}`)))
    strace.stderr.setEncoding('utf8').on('data', (chunk) => {
      text += chunk
      if (/attached/.test(text)) resolve(stop)
    })
  })
  function stop() {
    const flags = descriptorFlags(node.pid)
    return new Promise((resolve) => {
      strace.on('exit', () => resolve(count(text, flags)))
      strace.kill('SIGINT')
    })
  }
}

/** Which descriptors of a process write synchronously. */
function descriptorFlags(pid) {
  return (descriptor) => {
    try {
      return Number.parseInt(/^flags:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/${descriptor}`, 'utf8'))[1], 8)
    } catch {
      return 0
    }
  }
}

function count(text, flags) {
  const calls = text.split('\n').filter((line) => /(pwrite64|pwritev2?|writev?)\(\d+<[^>]*\/log\/log_inprogress/.test(line))
  const isSynced = (line) => (flags(/\((\d+)</.exec(line)[1]) & O_DSYNC) !== 0
  return { syncedWrites: calls.filter(isSynced).length, unsyncedWrites: calls.filter((line) => !isSynced(line)).length }
}
