import { CliError } from './errors.js'

/** What the lists are filled with. */
export interface WizardPicture {
  readonly members: readonly {
    readonly id: string
    readonly address: string
    readonly role: string
    readonly state: string
    readonly lag: number | null
  }[]
  readonly nextName: string | null
  readonly nextAddress: string
}

/** Prompts go to stderr: stdout is the answer of the command. */
const ON_STDERR = { output: process.stderr }

const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/

/** Asks for a new member; `probe` says what runs at an address, null for nothing, or throws why it cannot be. */
export async function askNewMember(
  facts: WizardPicture,
  probe: (address: string) => Promise<string | null>,
): Promise<{ readonly id: string; readonly address: string }> {
  const { confirm, input } = await import('@inquirer/prompts')
  const { nextName } = facts
  const id =
    nextName === null
      ? null
      : await input(
          { message: 'What is it called?', default: nextName, validate: (text) => nameProblem(facts, text.trim()) ?? true },
          ON_STDERR,
        )
  for (;;) {
    const address = (
      await input(
        {
          message: 'Where does it listen (host:port)?',
          default: facts.nextAddress,
          validate: async (text) => (await addressProblem(facts, text.trim(), probe)) ?? true,
        },
        ON_STDERR,
      )
    ).trim()
    const found = await probe(address)
    process.stderr.write(found === null ? `  nothing answers at ${address} yet\n` : `  ${address} answers: ${found}\n`)
    if (found !== null || (await confirm({ message: 'Go on and start it later?', default: true }, ON_STDERR)))
      return { id: id?.trim() ?? address, address }
  }
}

/** Picks the member that goes; its name, or its address where it has none. */
export async function askOldMember(facts: WizardPicture): Promise<string> {
  const { select } = await import('@inquirer/prompts')
  const width = Math.max(...facts.members.map(({ id }) => id.length))
  // Who is down is most likely meant.
  const members = [...facts.members].sort((a, b) => Number(a.state === 'ok') - Number(b.state === 'ok'))
  return await select(
    {
      message: 'Which member goes?',
      choices: members.map(({ id, address, role, state, lag }) => ({
        name: `${id.padEnd(width)}  ${address}  ${role}  ${state}${lag === null || lag === 0 ? '' : `  ${lag} behind`}`,
        value: id,
      })),
    },
    ON_STDERR,
  )
}

function nameProblem({ members }: WizardPicture, name: string): string | null {
  if (!NAME.test(name)) return 'Letters, digits, dot, dash and underscore, beginning with a letter or digit.'
  const taken = members.find(({ id }) => id === name)
  return taken ? `${taken.address} is called ${name} already.` : null
}

async function addressProblem(
  { members }: WizardPicture,
  address: string,
  probe: (address: string) => Promise<string | null>,
): Promise<string | null> {
  const taken = members.find((member) => member.address === address)
  if (taken) return `That is ${taken.id}, a member already.`
  try {
    await probe(address)
    return null
  } catch (thrown) {
    if (thrown instanceof CliError) return thrown.message
    throw thrown
  }
}
