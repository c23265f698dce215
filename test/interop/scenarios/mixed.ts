import type { Kind } from '../group-member.js'
import { perMinute } from '../interop-counts.js'
import { torment } from '../nemesis.js'
import { type Scenario, withGroup } from '../scenario.js'

const CLIENTS = 8

/** Clusters of both kinds under load, kill -9, transfers of leadership and lost directories, with each kind as the majority. */
function mixed(name: string, kinds: readonly Kind[]): Scenario {
  return {
    name,
    about: `${kinds.join(' + ')} under load, kills, transfers and lost directories`,
    needs: ['counter_server'],
    floors: (minutes) => ({
      ...perMinute(minutes, { acked: 500, kills: 2, killsBraft: 0.5, transfers: 2, transfersBraft: 0.5, elections: 4, compared: 1 }),
      ...perMinute(minutes, { wipes: 0.5, wipesBraft: 0.2, snapshots: 0.4, snapshotsBraft: 0.2 }),
    }),
    run: (scene) => withGroup(scene, kinds, (group) => torment(scene, group, CLIENTS)),
  }
}

/** braft alone: what the suite makes of a cluster that is not ours. Who finds fault here finds it in braft, or in the suite. */
const control: Scenario = {
  name: 'braft-alone',
  about: 'three braft members under the same torment: the suite itself on trial',
  needs: ['counter_server'],
  floors: (minutes) => perMinute(minutes, { acked: 500, kills: 2, transfers: 2, elections: 4, wipes: 0.5, compared: 1 }),
  run: (scene) => withGroup(scene, ['braft', 'braft', 'braft'], (group) => torment(scene, group, CLIENTS)),
}

export const mixedScenarios: readonly Scenario[] = [
  mixed('mixed-braft-majority', ['braft', 'braft', 'raftctl']),
  mixed('mixed-raftctl-majority', ['raftctl', 'raftctl', 'braft']),
  control,
]
