import { Control } from '../../rpc/control-definition.js'
import type { ServiceClient } from '../../rpc/grpc.js'
import type { Connection } from '../../terminal/connection.js'
import { remoteError } from '../remote-error.js'
import { ServiceCalls } from './service-calls.js'

export type { CallOptions } from './service-calls.js'

export type ControlClient = ServiceClient<(typeof Control)['methods']>

/** raftctl.v1.Control, the service of our own nodes. Owns its channels. */
export class ControlCalls extends ServiceCalls<(typeof Control)['methods']> {
  constructor(connection: Connection) {
    super(connection, Control, remoteError)
  }
}
