import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'
import { CliError } from '../../src/terminal/errors.js'
import { durationFlagOf } from '../../src/terminal/flags.js'

export default class ClusterRestart extends BaseCommand {
  static override summary = 'Restart the nodes of a local cluster, all at once or one after the other.'
  static override description =
    'With --rolling followers go first and the leader last, after handing over; the next one only when the one before has caught up. A background writer tells whether a write failed meanwhile. Refuses a step that would leave no quorum.'
  static override schema = 'raftctl.cluster.restart/1'
  static override impact = 'data' as const
  static override exitCodes = [4, 6, 7, 11, 130]
  static override examples = [
    '<%= config.bin %> cluster restart',
    { description: 'Without a failed write', command: '<%= config.bin %> cluster restart dev --rolling' },
    '<%= config.bin %> cluster restart --node n2',
  ]
  static override args = { name: Args.string({ ignoreStdin: true, description: 'which one (default: of the selected context)' }) }
  static override outputColumns = {
    NODE: 'its name',
    STATE: 'restarted, started (it was down), failed or untouched',
    TOOK: 'from its stop until it had caught up',
    LEADERSHIP: 'who took it over before the node stopped',
  }
  static override flags = {
    rolling: Flags.boolean({ description: 'one after the other, the leader last' }),
    node: Flags.string({ helpValue: '<node>', description: 'only this one' }),
    probe: Flags.boolean({ default: true, allowNo: true, description: 'write in the background to see whether a write fails (default)' }),
    force: Flags.boolean({ description: 'also where writes stop meanwhile' }),
    grace: durationFlagOf({ default: 10_000, description: 'time to stop by itself before a node is killed (default 10s)' }),
    timeout: durationFlagOf({ default: 60_000, description: 'how long a node may take to catch up (default 60s)' }),
  }
  static override seeAlso = ['cluster stop', 'cluster start', 'leader transfer']

  async run() {
    const { args, flags } = await this.parse(ClusterRestart)
    const { chosenCluster } = await import('../../src/local/cluster-view.js')
    const cluster = chosenCluster(args.name)
    if (flags.rolling && flags.node !== undefined)
      throw new CliError('E_USAGE', '--rolling and --node exclude each other', { hint: 'Leave one out.' })
    if (!flags.rolling && flags.node === undefined) {
      const { restartAll } = await import('../../src/local/cluster-restart-all.js')
      const done = await restartAll(cluster, { graceMs: flags.grace, timeoutMs: flags.timeout })
      return this.answer(done)
    }
    const { rollingRestart } = await import('../../src/local/cluster-restart.js')
    const done = await rollingRestart(cluster.name, {
      node: flags.node ?? null,
      force: flags.force === true,
      probe: flags.probe,
      graceMs: flags.grace,
      timeoutMs: flags.timeout,
      signal: this.interrupted,
      onStep: (text) => this.out.detail(text),
    })
    return this.answer(done)
  }

  private async answer(done: import('../../src/local/cluster-restart.js').ClusterRestart) {
    const { restartReport, restartText } = await import('../../src/local/restart-report.js')
    const report = restartReport(done)
    return this.result(
      report,
      (out) => {
        out.prose(`${out.symbol(done.error ? 'warning' : 'ok')} ${restartText(report)}`)
        out.table(
          [
            { name: 'node', value: (row) => row.id },
            {
              name: 'state',
              value: (row) => `${row.error ? out.symbol('failed') : row.outcome === 'untouched' ? '-' : out.symbol('ok')} ${row.outcome}`,
            },
            { name: 'took', value: (row) => out.duration(row.tookMs), align: 'right' },
            { name: 'leadership', value: (row) => (row.handedTo === null ? '-' : `${out.symbol('arrow')} ${row.handedTo}`) },
          ],
          report.nodes,
        )
      },
      { error: done.error, clusterId: done.cluster.clusterId },
    )
  }
}
