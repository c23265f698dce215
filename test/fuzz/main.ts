// npm run fuzz -- [--decoder NAME] [--seed S] [--runs N | --minutes M] [--list]: mutates valid inputs of the decoders. See test/README.md.
import { parseArgs } from 'node:util'
import { keep, readCorpus } from './corpus.js'
import { DECODERS } from './registry.js'
import { fuzz } from './run.js'

const { values } = parseArgs({
  options: {
    decoder: { type: 'string' },
    seed: { type: 'string', default: '1' },
    runs: { type: 'string', default: '10000' },
    minutes: { type: 'string' },
    list: { type: 'boolean', default: false },
  },
})

function main(): number {
  const chosen = DECODERS.filter(({ name }) => values.decoder === undefined || name === values.decoder)
  if (values.list || chosen.length === 0) {
    for (const { name } of DECODERS) console.log(name)
    return values.list ? 0 : 2
  }
  let failures = 0
  for (const decoder of chosen) {
    const startedAt = performance.now()
    const limitMs = values.minutes === undefined ? null : (Number(values.minutes) * 60_000) / chosen.length
    const until = (runs: number) => (limitMs === null ? runs >= Number(values.runs) : performance.now() - startedAt >= limitMs)
    const corpus = readCorpus(decoder.name).map(({ bytes }) => bytes)
    const { counters, finding } = fuzz(decoder, { seed: Number(values.seed), corpus, until })
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
    console.log(`${decoder.name} runs=${counters.runs} accepted=${counters.accepted} refused=${counters.refused} seconds=${seconds}`)
    if (!finding) continue
    failures++
    console.log(
      `  ${finding.problem}\n  kept in ${keep(decoder.name, finding.bytes)} (${finding.bytes.length} bytes), found by --decoder ${decoder.name} --seed ${values.seed}`,
    )
  }
  return failures === 0 ? 0 : 1
}

process.exitCode = main()
