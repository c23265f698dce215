import { BaseCommand } from '../../src/terminal/base-command.js'

export default class ContextList extends BaseCommand {
  static override summary = 'List the contexts; the selected one is marked.'
  static override schema = 'raftctl.context.list/1'
  static override examples = ['<%= config.bin %> context list', '<%= config.bin %> context list --json']
  static override outputColumns = {
    CURRENT: '* is the one that commands use',
    ENDPOINTS: 'where its members are dialled, or what is wrong with its file',
    KIND: 'playground: started here by cluster start; remote: anything else',
    ENGINE: 'what its nodes were when it was added: raftctl, braft or mixed',
    MODE: 'read-only, or nothing',
  }
  static override seeAlso = ['context use', 'context add', 'context test', 'cluster ls']

  async run() {
    await this.parse(ContextList)
    const { listContexts } = await import('../../src/local/context-store.js')
    const contexts = listContexts()
    return this.result({ contexts }, (out) => {
      if (contexts.length === 0)
        out.note('no contexts yet: raftctl cluster start makes one, raftctl context add names one that runs elsewhere')
      else
        out.table(
          [
            { name: 'current', value: (row) => (row.current ? '*' : '') },
            { name: 'name', value: (row) => row.name },
            {
              name: 'endpoints',
              value: (row) => (row.problem === null ? row.endpoints.join(',') : `${out.symbol('failed')} ${row.problem}`),
            },
            { name: 'group', value: (row) => row.group || '-', priority: 3 },
            { name: 'kind', value: (row) => (row.problem !== null ? '-' : row.playground ? 'playground' : 'remote'), priority: 1 },
            { name: 'engine', value: (row) => row.engine ?? '-', wide: true },
            { name: 'env', value: (row) => row.env ?? '-', wide: true },
            { name: 'mode', value: (row) => (row.readOnly ? 'read-only' : ''), priority: 2 },
            { name: 'cluster', value: (row) => row.clusterId ?? '-', wide: true },
          ],
          contexts,
        )
    })
  }
}
