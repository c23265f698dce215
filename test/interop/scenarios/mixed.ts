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

/** One kind alone under the same torment. Who finds fault with braft alone finds it in braft, or in the suite. */
function alone(kind: Kind): Scenario {
  return {
    name: `${kind}-alone`,
    about: `three ${kind} members under the same torment`,
    needs: kind === 'braft' ? ['counter_server'] : [],
    floors: (minutes) => perMinute(minutes, { acked: 500, kills: 2, transfers: 1, elections: 4, wipes: 0.5, compared: 1 }),
    run: (scene) => withGroup(scene, [kind, kind, kind], (group) => torment(scene, group, CLIENTS), { mixed: false }),
  }
}

export const mixedScenarios: readonly Scenario[] = [
  mixed('mixed-braft-majority', ['braft', 'braft', 'raftctl']),
  mixed('mixed-raftctl-majority', ['raftctl', 'raftctl', 'braft']),
  alone('braft'),
  alone('raftctl'),
]
