import { Flags } from '@oclif/core'
import { PERF_LOADS } from '../../src/admin/perf-loads.js'
import { durationFlagOf, latencyFlag, numberFlag, wholeNumberFlag } from '../../src/terminal/flags.js'
import { LoadCommand, ownPrefix } from '../../src/terminal/load-command.js'

const loads = Object.entries(PERF_LOADS).map(([name, { rate, clients }]) => `${name} ${rate} of ${clients}`)

export default class CheckPerf extends LoadCommand {
  static override summary = 'Say whether the cluster holds a load of durable writes: PASS or FAIL by thresholds.'
  static override description =
    'Small writes are due at a fixed rate whatever the answers do, each timed from when it was due, after a second that does not count. Every threshold is a flag, and nothing else decides: one FAIL is exit 3. A check that could not be told, or keys that could not be removed, is exit 11. Ctrl-C ends it early: what was measured is judged, the keys are removed, exit 130. The keys begin with raftctl-check/.'
  static override schema = 'raftctl.check.perf/1'
  static override seeAlso = ['check disk', 'bench put', 'node status']
  static override outputColumns = {
    VERDICT: 'PASS, FAIL, or UNKNOWN where it could not be told',
    CHECK:
      'throughput: writes that were answered, of those due by the rate; p99 and slowest write: how long they took; failed writes; leader changes: by how much the term rose',
    MEASURED: 'what it was',
    LIMIT: 'what it is held against; the limit itself passes',
    FLAG: 'what sets the limit',
  }
  static override examples = [
    '<%= config.bin %> check perf',
    { description: 'A thousand writes a second for a minute', command: '<%= config.bin %> check perf --load m --duration 1m' },
    {
      description: 'In a pipeline: what the service was promised',
      command: '<%= config.bin %> check perf --load m --max-p99 20ms --max-latency 200ms --json',
    },
    { description: 'One failover may happen meanwhile', command: '<%= config.bin %> check perf --max-leader-changes 1 --max-latency 3s' },
  ]
  static override flags = {
    load: Flags.option({ options: ['s', 'm', 'l'] as const, default: 's', helpValue: 's|m|l' })({
      description: `writes a second, of so many clients at most at a time: ${loads.join(', ')} (default s)`,
    }),
    duration: durationFlagOf({ default: 20_000, description: 'how long (default 20s)' }),
    'min-throughput': numberFlag({
      least: 0,
      most: 100,
      default: 90,
      helpValue: '<percent>',
      description: 'FAIL below this share of the rate (default 90)',
    }),
    'max-p99': latencyFlag({ default: 100, description: 'FAIL when more than one write in a hundred takes longer (default 100ms)' }),
    'max-latency': latencyFlag({ default: 500, description: 'FAIL when any write takes longer (default 500ms)' }),
    'max-failed': wholeNumberFlag({ default: 0, description: 'FAIL when more writes fail (default 0)' }),
    'max-leader-changes': wholeNumberFlag({ default: 0, description: 'FAIL when the term rises by more (default 0)' }),
    yes: Flags.boolean({ char: 'y', description: 'do not ask; only a production context does' }),
  }

  async run() {
    const { flags } = await this.parse(CheckPerf)
    const { checkPerf } = await import('../../src/admin/check-perf.js')
    const { printPerfCheck } = await import('../../src/terminal/perf-check-view.js')
    const thresholds = {
      minThroughputPercent: flags['min-throughput'],
      maxP99Ms: flags['max-p99'],
      maxLatencyMs: flags['max-latency'],
      maxFailed: flags['max-failed'],
      maxLeaderChanges: flags['max-leader-changes'],
    }
    const options = { load: flags.load, durationMs: flags.duration, prefix: ownPrefix('check'), thresholds }
    return this.underLoad(
      flags,
      options.prefix,
      (connection, watch) => checkPerf(connection, options, watch),
      (out, { report }) => printPerfCheck(out, report),
    )
  }
}
