import type { ConfigProblem } from '@stowage/core'
import type { Variables } from '@stowage/core/driver'
import type { EnvReport, Finding, UnreadVariable } from '@stowage/core/tools'
import { hasShortOldSecret, sessionProblems } from '@stowage/sessions/tools'
import type { Context } from '../configuration/context.ts'

const codes = {
  misspelt: 'env-misspelt',
  'prefix-overlap': 'prefix-overlap',
  'package-missing': 'package-missing',
} as const

/** What is wrong with the files, the variables and the secrets. */
export function checkEnvironment({ files, report, variables, app }: Context): Finding[] {
  return [
    ...files.flatMap(({ findings }) => findings),
    ...(report?.problems ?? []).map(problemFinding),
    ...(report?.unread ?? []).map(unreadFinding),
    ...(app.sessions === undefined ? sessionFindings(variables) : []),
    ...memoryFindings(report, variables),
  ]
}

/** Whether the stores that the environment selects are those that the application would use. */
export function areStoresKnown({ report }: Context): boolean {
  const { problems = [] } = report ?? {}
  return problems.every(({ code }) => code === 'prefix-overlap')
}

const registryRemedy =
  'For a driver of the application, export its registry from the module of --config.'

function problemFinding({ variable, value, remedy: text, code }: ConfigProblem): Finding {
  const shown = value === undefined ? variable : `${variable}=${value}`
  const [problem, remedy] = splitRemedy(`${shown}: ${text}`)
  const severity = 'error'
  if (code === undefined) {
    const more = text.startsWith('is not a known driver.') ? ` ${registryRemedy}` : ''
    return { code: 'env-invalid', severity, subject: variable, problem, remedy: remedy + more }
  }
  return { code: codes[code], severity, subject: variable, problem, remedy }
}

/** The texts of problems end with their remedy: the last sentence, or the last but one if that suggests a name. */
function splitRemedy(text: string): [problem: string, remedy: string] {
  const at = text.search(
    /(?<=[.?!]) (Use|Set|Remove|Did|Install|Choose|Write|Known|Defined|Check|Encode)\b/,
  )
  const suggestion = /^(.*?) (Did you mean .*)$/s.exec(text)
  if (suggestion?.[1] !== undefined) return [suggestion[1], suggestion[2] as string]
  return at < 0 ? [text, 'Correct the variable.'] : [text.slice(0, at), text.slice(at + 1)]
}

function unreadFinding({ variable, replacement, kind }: UnreadVariable): Finding {
  const isMisspelt = kind === 'misspelt'
  return {
    code: isMisspelt ? 'env-misspelt' : 'env-foreign',
    severity: 'warning',
    subject: variable,
    problem: isMisspelt
      ? `${variable} is not read.`
      : `${variable} is a variable of another framework, and not read.`,
    remedy: isMisspelt ? `Did you mean ${replacement}?` : `Use ${replacement}.`,
  }
}

/** The application may do without `sessionFromEnv`. */
function sessionFindings(variables: Variables): Finding[] {
  const findings = sessionProblems(variables).flatMap((problem) =>
    problem.value === undefined ? missingSecretFindings(variables) : problemFinding(problem),
  )
  return hasShortOldSecret(variables) ? [...findings, shortSecret] : findings
}

const shortSecret: Finding = {
  code: 'session-secret-short',
  severity: 'warning',
  subject: 'SESSION_SECRET',
  problem:
    'SESSION_SECRET accepts an old secret of fewer than 32 characters, which can be guessed.',
  remedy: 'Remove it once the sessions that were signed with it have expired.',
}

/** Sessions are used if one of their variables is set. */
function missingSecretFindings(variables: Variables): Finding[] {
  const isSet = (name: string) => Boolean(variables[name]?.trim())
  const usesSessions = Object.keys(variables).some((name) => /^SESSION_/.test(name) && isSet(name))
  if (!usesSessions && !isSet('NODE_ENV')) return []
  return [
    {
      code: 'session-secret-missing',
      severity: usesSessions ? 'error' : 'warning',
      subject: 'SESSION_SECRET',
      problem:
        'SESSION_SECRET is not set, which sessionFromEnv requires unless NODE_ENV is development or test.',
      remedy:
        'Set it to a random text, as of: openssl rand -base64 32. In development, set NODE_ENV=development.',
    },
  ]
}

function memoryFindings(report: EnvReport | undefined, variables: Variables): Finding[] {
  if (report === undefined || variables.NODE_ENV !== 'production') return []
  const roles = (['cache', 'session'] as const).filter(
    (name) => report.roles[name].store === 'memory',
  )
  if (roles.length === 0) return []
  return [
    {
      code: 'memory-in-production',
      severity: 'warning',
      subject: roles.map((role) => `${role.toUpperCase()}_DRIVER`).join(', '),
      problem: `The ${roles.join(' and the ')} store is the memory of one process, and ends with it.`,
      remedy: 'Set CACHE_DRIVER to redis, memcached, dynamodb, postgres or lmdb.',
    },
  ]
}
