import { batching } from './batching.ts'
import { facade } from './facade.ts'
import { generations } from './generations.ts'
import { remember } from './remember.ts'
import type { Scenario } from './scenario.ts'
import { sessionToken } from './session-token.ts'
import { tags } from './tags.ts'

/** The scenarios of `npm run simulate`, by name. */
export const scenarios: {
  readonly facade: typeof facade
  readonly remember: typeof remember
  readonly tags: typeof tags
  readonly generations: typeof generations
  readonly batching: typeof batching
  readonly 'session-token': typeof sessionToken
} = { facade, remember, tags, generations, batching, 'session-token': sessionToken }

/** The scenario of this name, if there is one. */
export function scenarioNamed(name: string): Scenario | undefined {
  return Object.values(scenarios).find((scenario) => scenario.name === name) as Scenario | undefined
}
