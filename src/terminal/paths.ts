import { homedir } from 'node:os'
import { join } from 'node:path'

type Environment = Record<string, string | undefined>

/** Where raftctl keeps its files, by the XDG base directory specification. HOME counts on every platform. */
export function configDirectory(env: Environment = process.env): string {
  return join(env.XDG_CONFIG_HOME || join(home(env), '.config'), 'raftctl')
}

export function dataDirectory(env: Environment = process.env): string {
  return join(env.XDG_DATA_HOME || join(home(env), '.local', 'share'), 'raftctl')
}

export function stateDirectory(env: Environment = process.env): string {
  return join(env.XDG_STATE_HOME || join(home(env), '.local', 'state'), 'raftctl')
}

export function cacheDirectory(env: Environment = process.env): string {
  return join(env.XDG_CACHE_HOME || join(home(env), '.cache'), 'raftctl')
}

function home(env: Environment): string {
  return env.HOME || homedir()
}

/** `path` as a person writes it: the home directory is `~`. */
export function shortPath(path: string, env: Environment = process.env): string {
  const directory = home(env)
  return path === directory ? '~' : path.startsWith(`${directory}/`) ? `~${path.slice(directory.length)}` : path
}
