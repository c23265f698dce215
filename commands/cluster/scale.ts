import { Args, Flags } from '@oclif/core'
import { durationFlagOf, mutationFlags, outputFlags } from '../../src/terminal/flags.js'
import { MembershipCommand } from '../../src/terminal/membership-command.js'

export default class ClusterScale extends MembershipCommand {
  static override summary = 'Make a local cluster larger or smaller while it runs.'
  static override description =
    'New nodes get the next names and ports, are started here and added once they have caught up. The highest go first when it shrinks; one that leads hands over before. The directory of a removed node is moved aside, unless --keep-data leaves it where it is.'
  static override exitCodes = [4, 5, 6, 7, 8, 12, 13, 124]
  static override examples = ['<%= config.bin %> cluster scale 5', '<%= config.bin %> cluster scale 3 --name two --yes']
  static override baseFlags = outputFlags as never
  static override args = {
    nodes: Args.integer({ required: true, ignoreStdin: true, min: 1, max: 31, description: 'how many members there shall be' }),
  }
  static override flags = {
    name: Flags.string({ helpValue: '<cluster>', description: 'which cluster (default: of the selected context)' }),
    'keep-data': Flags.boolean({ description: 'leave the directories of removed nodes where they are' }),
    'catchup-timeout': durationFlagOf({ default: 60_000, description: 'for new nodes to run and to catch up (default 1m)' }),
    grace: durationFlagOf({ default: 10_000, description: 'time to stop by itself before a node is killed (default 10s)' }),
    ...mutationFlags,
  }
  static override seeAlso = ['cluster start', 'member add', 'member remove']

  async run() {
    const { args, flags } = await this.parse(ClusterScale)
    const { chosenCluster } = await import('../../src/local/cluster-view.js')
    const { ClusterScale: Scale } = await import('../../src/local/cluster-scale.js')
    const { membershipWords } = await import('../../src/admin/membership-parts.js')
    using scale = new Scale(chosenCluster(flags.name), {
      ...{ nodes: args.nodes, reason: flags.reason ?? null, force: flags.force === true, keepData: flags['keep-data'] === true },
      ...{ catchupTimeoutMs: flags['catchup-timeout'], graceMs: flags.grace, verify: flags.wait, signal: this.interrupted },
    })
    return await this.change(flags, {
      ...membershipWords,
      draft: () => scale.draft(),
      execute: (plan, listener) => scale.execute(plan, listener),
      nameOf: scale.parts.nameOf,
      epilogue: (plan) => scale.whereDataIs(plan),
    })
  }
}
