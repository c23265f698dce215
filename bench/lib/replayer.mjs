// A member that is alone in its group starts on a log and applies all of it, then ends.
//   replayer.mjs DIR ENTRIES, as a child of bench/replay.mjs
import { PeerId, RaftServer, StateMachine } from '../../dist/src/index.js'
import { CLUSTER_ID, CONF, SELF } from './written-log.mjs'

const [directory, entries] = process.argv.slice(2)

class Counter extends StateMachine {
  count = 0
  bytes = 0

  onApply(iterator) {
    for (; iterator.valid(); iterator.next()) {
      this.bytes += iterator.data().length
      this.count++
    }
    if (this.count === Number(entries)) this.onAll()
  }
}

const fsm = new Counter()
const all = new Promise((done) => (fsm.onAll = done))
const server = new RaftServer({ peerId: PeerId.parse(SELF), clusterId: CLUSTER_ID })
try {
  const [startedAt, cpu] = [performance.now(), process.cpuUsage()]
  await server.start({ groupId: 'bench', fsm, initialConf: CONF, directory })
  const [openedAt, opened] = [performance.now(), process.cpuUsage(cpu)]
  await all
  const [appliedAt, applied] = [performance.now(), process.cpuUsage(cpu)]
  await new Promise((done) =>
    process.send(
      {
        openMs: openedAt - startedAt,
        applyMs: appliedAt - openedAt,
        ms: appliedAt - startedAt,
        openCpuUs: (opened.user + opened.system) / entries,
        cpuUs: (applied.user + applied.system) / entries,
        residentMb: process.resourceUsage().maxRSS / 1024,
      },
      done,
    ),
  )
} catch (error) {
  process.send({ problem: error.message })
}
await server.close()
process.disconnect()
