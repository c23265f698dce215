import { Flags } from '@oclif/core'
import { ClusterCommand } from '../src/terminal/cluster-command.js'
import { durationFlagOf } from '../src/terminal/flags.js'

export default class Events extends ClusterCommand {
  static override summary = 'What happened: elections, leaders, members, snapshots, alarms.'
  static override description =
    'Asks every member and merges what they tell in order of time. Each keeps its newest events since it was started. With -f members may go away and come back.'
  static override schema = 'raftctl.events/1'
  static override exitCodes = [5, 7, 8, 130]
  static override examples = [
    '<%= config.bin %> events --since 10m',
    '<%= config.bin %> events -f',
    { description: 'Elections only, one JSON document a line', command: '<%= config.bin %> events -f --type election,leader --json' },
  ]
  static override flags = {
    follow: Flags.boolean({ char: 'f', description: 'go on until interrupted; with --json one event is one document' }),
    since: durationFlagOf({ description: 'nothing older than this (with -f: nothing that was before, unless given)' }),
    type: Flags.string({ helpValue: '<a,b>', description: 'only these, by name or its beginning: election, leader.lost' }),
    node: Flags.string({ helpValue: '<member>', description: 'only of this one: name or address' }),
  }
  static override seeAlso = ['status', 'cluster logs']

  async run() {
    const { flags } = await this.parse(Events)
    const connection = this.connection(flags)
    const { EventFeed } = await import('../src/admin/events.js')
    const { printEvent } = await import('../src/terminal/event-view.js')
    const types = (flags.type ?? '')
      .split(',')
      .map((type) => type.trim())
      .filter((type) => type !== '')
    const sinceMs = flags.since ?? (flags.follow ? 0 : null)
    const notBeforeMs = sinceMs === null ? null : Date.now() - sinceMs
    using feed = new EventFeed(connection, { types, node: flags.node ?? null, notBeforeMs })
    if (flags.follow) {
      const events = feed.follow(this.interrupted, (text) => this.out.note(text))
      return await this.stream([], events, (event, out) => printEvent(out, event))
    }
    const { events, warnings, clusterId } = await feed.history()
    return this.result({ events }, (out) => events.forEach((event) => printEvent(out, event)), { clusterId, warnings })
  }
}
