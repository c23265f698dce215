import { ClusterCommand } from '../../src/terminal/cluster-command.js'

export default class ChaosList extends ClusterCommand {
  static override summary = 'What is broken on purpose now, and for how long.'
  static override description = 'Asks every member, and knows which processes of this machine were killed or frozen by chaos.'
  static override schema = 'raftctl.chaos.list/1'
  static override exitCodes = [5, 7, 8]
  static override examples = ['<%= config.bin %> chaos list', '<%= config.bin %> chaos list --json --field faults[].node']
  static override outputColumns = {
    NODE: 'the member that suffers from it',
    FAULT: 'what it does to the member',
    LEFT: 'until it heals by itself',
    ID: 'the same for all that was broken together (--wide)',
  }
  static override seeAlso = ['chaos heal', 'chaos run']

  async run() {
    const { flags } = await this.parse(ChaosList)
    const connection = this.connection(flags)
    const { listFaults } = await import('../../src/local/chaos.js')
    const { printFaults } = await import('../../src/terminal/chaos-view.js')
    const { list, clusterId, warnings } = await listFaults(connection)
    return this.result(list, (out) => printFaults(out, list.faults), { clusterId, warnings })
  }
}
