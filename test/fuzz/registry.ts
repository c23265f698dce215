import type { Decoder } from './decoder.js'
import { BRAFT } from './decoders-braft.js'
import { DIRECTORY } from './decoders-directory.js'
import { DISK } from './decoders-disk.js'
import { HTTP2 } from './decoders-http2.js'
import { NETWORK } from './decoders-network.js'
import { TEXT } from './decoders-text.js'

/** Everything that reads bytes from a socket, a disk or a user. */
export const DECODERS: readonly Decoder[] = [...NETWORK, ...HTTP2, ...BRAFT, ...DISK, ...DIRECTORY, ...TEXT]
