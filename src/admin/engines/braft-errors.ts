import type { ServiceError } from '@grpc/grpc-js'
import { ErrorCode as Errno } from '../../raft/errors.js'
import { BrpcCode, codeInText } from '../../rpc/braft-error.js'
import { CliError, type ErrorCode } from '../../terminal/errors.js'
import { type RemoteCall, remoteError } from '../remote-error.js'

/** Refusals of a braft node, by its error number: nothing was changed. */
const REFUSALS: Readonly<Record<number, ErrorCode>> = {
  [Errno.ENOENT]: 'E_NO_GROUP',
  [Errno.EAGAIN]: 'E_NO_LEADER',
  [Errno.EACCES]: 'E_UNSUPPORTED',
  [Errno.EBUSY]: 'E_CONFIG_PENDING',
  [Errno.EINVAL]: 'E_USAGE',
  [Errno.EHOSTUNREACH]: 'E_NOT_CAUGHT_UP',
  [Errno.ECATCHUP]: 'E_WAIT_TIMEOUT',
  [Errno.EREADONLY]: 'E_READ_ONLY',
  [BrpcCode.ENOSERVICE]: 'E_UNSUPPORTED',
  [BrpcCode.ENOMETHOD]: 'E_UNSUPPORTED',
  [BrpcCode.ERPCAUTH]: 'E_AUTH',
  [BrpcCode.ELOGOFF]: 'E_UNREACHABLE',
  [BrpcCode.ELIMIT]: 'E_BUSY',
}

const ADDED: Readonly<Record<number, string>> = {
  [Errno.EACCES]: ' (its CliService is switched off: disable_cli)',
  [Errno.ECATCHUP]: '; the members are what they were',
}

/**
 * What a braft node answered, as an error of the registry. gRPC carries its error number inside the text only; that number
 * decides, but for EPERM, which a node says both when it does not lead and when it lost leadership in the middle of a change.
 */
export function braftError(error: ServiceError, call: RemoteCall): CliError {
  const text = decoded(error.details || error.message)
  const code = codeInText(text)
  if (code === null) return remoteError(error, call)
  const said = text.replace(/^(\[[^\]]*\])+/, '').trim()
  const details = { node: call.endpoint, braftCode: code, said }
  const refuse = (name: ErrorCode) =>
    new CliError(name, `${call.endpoint}: ${said}${ADDED[code] ?? ''}`, { details: { ...details, applied: 'no' }, cause: error })
  if (code === Errno.EPERM && !/stepped down/i.test(said)) return refuse('E_NO_LEADER')
  const name = REFUSALS[code]
  if (name !== undefined) return refuse(name)
  if (call.kind === 'read') return new CliError('E_INTERNAL', `${call.endpoint}: ${said}`, { details, cause: error })
  return new CliError('E_OUTCOME_UNKNOWN', `${call.endpoint} gave no verdict: ${said}; it may have been applied`, {
    details: { ...details, applied: 'unknown' },
    ...(call.check === undefined ? {} : { hint: `Look before you repeat it:  ${call.check}` }),
    cause: error,
  })
}

/** brpc escapes every byte of a text but letters; grpc-js leaves those alone that have a meaning in an address. */
function decoded(text: string): string {
  return text.replace(/%(2[346bcf]|3[abdf]|40)/gi, (escaped) => decodeURIComponent(escaped))
}
