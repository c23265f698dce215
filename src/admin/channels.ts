import { readFileSync } from 'node:fs'
import * as grpc from '@grpc/grpc-js'
import { MESSAGE_LIMITS } from '../rpc/grpc.js'
import { MetadataKey } from '../rpc/identity.js'
import type { Connection } from '../terminal/connection.js'
import { CliError } from '../terminal/errors.js'

/** One gRPC channel per node, opened when first used. Owns them; `close` ends them all. */
export class Channels implements Disposable {
  private readonly byEndpoint = new Map<string, grpc.Client>()
  private readonly credentials: grpc.ChannelCredentials
  private readonly token: string | null

  constructor(private readonly connection: Connection) {
    this.credentials = credentialsOf(connection)
    this.token = connection.tokenFile === null ? null : contents('--token-file', connection.tokenFile).toString('utf8').trim()
  }

  to(endpoint: string): grpc.Client {
    let channel = this.byEndpoint.get(endpoint)
    if (!channel) {
      channel = new grpc.Client(endpoint, this.credentials, this.options())
      this.byEndpoint.set(endpoint, channel)
    }
    return channel
  }

  /** What every call carries: the cluster that must answer, and who asks. */
  metadata(): grpc.Metadata {
    const metadata = new grpc.Metadata()
    if (this.connection.clusterId !== null) metadata.set(MetadataKey.clusterId, this.connection.clusterId)
    if (this.token !== null) metadata.set('authorization', `Bearer ${this.token}`)
    return metadata
  }

  [Symbol.dispose](): void {
    for (const channel of this.byEndpoint.values()) channel.close()
    this.byEndpoint.clear()
  }

  private options(): grpc.ClientOptions {
    const serverName = this.connection.tls?.serverName
    return {
      ...MESSAGE_LIMITS,
      'grpc.enable_retries': 0,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 1000,
      ...(serverName ? { 'grpc.ssl_target_name_override': serverName, 'grpc.default_authority': serverName } : {}),
    }
  }
}

/** The certificates of a connection as they are in their files; null without TLS. Throws E_USAGE for one that cannot be read. */
export function tlsFilesOf({ tls }: Connection) {
  if (tls === null) return null
  return {
    ca: tls.ca === null ? null : contents('--ca', tls.ca),
    key: tls.key === null ? null : contents('--key', tls.key),
    cert: tls.cert === null ? null : contents('--cert', tls.cert),
    serverName: tls.serverName,
  }
}

function credentialsOf(connection: Connection): grpc.ChannelCredentials {
  const files = tlsFilesOf(connection)
  if (files === null) return grpc.credentials.createInsecure()
  const { ca, key, cert } = files
  try {
    return grpc.credentials.createSsl(ca, key, cert)
  } catch (error) {
    throw new CliError('E_TLS', `the certificates cannot be used: ${(error as Error).message}`)
  }
}

function contents(flag: string, path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new CliError('E_USAGE', `${flag}: ${(error as Error).message}`, { hint: 'Check the path.' })
  }
}
