import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The sources' folder, seen from dist/test/fuzz. */
export const CORPUS = fileURLToPath(new URL('../../../test/fuzz/corpus/', import.meta.url))

/** Inputs that failed once, or that say more than the samples, by the name of their decoder. */
export function readCorpus(decoder: string): { readonly file: string; readonly bytes: Buffer }[] {
  const folder = `${CORPUS}${decoder}`
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .sort()
    .map((name) => ({ file: `${decoder}/${name}`, bytes: readFileSync(`${folder}/${name}`) }))
}

/** Keeps an input for all later runs; answers where. */
export function keep(decoder: string, bytes: Buffer): string {
  const folder = `${CORPUS}${decoder}`
  mkdirSync(folder, { recursive: true })
  const file = `${folder}/${createHash('sha1').update(bytes).digest('hex').slice(0, 12)}.bin`
  writeFileSync(file, bytes)
  return file
}
