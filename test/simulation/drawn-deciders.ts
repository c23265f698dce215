import { ClientDrawing } from './client-drawing.js'
import type { SimCluster } from './cluster.js'
import { type Decider, DrawnDecider } from './deciders.js'
import type { Act, Drawn } from './decisions.js'
import { DeedDrawing } from './deed-drawing.js'
import { FaultDrawing } from './fault-drawing.js'
import { GROUP } from './storages.js'
import type { SwarmPlan } from './swarm-plan.js'

export interface Deciders {
  readonly fromStart: readonly Decider[]
  /** These begin when the group has a leader, or at once in a hostile world. */
  readonly onceFounded: readonly Decider[]
}

/** Draws everything from that plan and the seed of its world: for each group what is asked of it, and faults for all. */
export function drawnDeciders(clusters: readonly SimCluster[], plan: SwarmPlan): Deciders {
  const [cluster] = clusters
  const faults = cluster!.random.fork('faults')
  const drawing = new FaultDrawing(cluster!, plan, faults)
  const ofMachines = new DrawnDecider(
    cluster!,
    'fault',
    plan.faultEveryMs,
    faults,
    () => drawing.draw(),
    () => drawing.drawFirst(),
  )
  return {
    fromStart: clusters.flatMap((each) => clientsOf(each, plan)),
    onceFounded: [ofMachines, ...clusters.map((each) => administratorOf(each, plan))],
  }
}

function clientsOf(cluster: SimCluster, plan: SwarmPlan): Decider[] {
  const random = cluster.random.fork('clients')
  const clients = new ClientDrawing(cluster, plan, random)
  return [
    new DrawnDecider(cluster, 'client', plan.writeEveryMs, random, () => addressed(cluster, clients.drawWrites())),
    new DrawnDecider(cluster, 'reader', plan.readEveryMs, random, () => addressed(cluster, clients.drawReads())),
  ]
}

function administratorOf(cluster: SimCluster, plan: SwarmPlan): Decider {
  const random = cluster.random.fork('administrator')
  const deeds = new DeedDrawing(cluster, plan, random)
  return new DrawnDecider(cluster, 'administrator', plan.administration.everyMs, random, () => addressed(cluster, deeds.draw()))
}

/** Asked of that group; of the first one when nothing is said. */
function addressed({ groupId }: SimCluster, acts: readonly Act[]): readonly Drawn[] {
  return groupId === GROUP ? acts : acts.map((act) => ({ ...act, group: groupId }))
}
