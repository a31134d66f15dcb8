import type { Output } from '../output/io.ts'
import { count, duration, list, table, wrap } from '../output/layout.ts'
import { printable } from '../output/printable.ts'
import type { Diagnosis, DoctorFinding, DoctorServer } from './diagnosis.ts'

/** Writes the diagnosis for people. */
export function printDiagnosis(diagnosis: Diagnosis, output: Output, verbose: boolean): void {
  const { dim, bold } = output.colors
  const title = (text: string) => output.line(`\n${bold(text)}`)
  output.line(bold('Configuration'))
  output.line(configuration(diagnosis, dim))
  const note = ttlNote(diagnosis)
  if (note !== undefined) output.line(dim(wrap(note, output.width, '  ')))
  if (verbose && Object.keys(diagnosis.variables).length > 0) {
    title('Variables')
    output.line(
      list(Object.entries(diagnosis.variables).map(([name, value]) => [name, printable(value)])),
    )
  }
  printServers(diagnosis.servers, output)
  if (diagnosis.findings.length > 0) {
    title('Findings')
    printFindings(diagnosis.findings, output)
  }
  output.line(`\n${summary(diagnosis, output)}`)
}

function configuration({ stores, files }: Diagnosis, dim: (text: string) => string): string {
  const hasFailover = stores.some(({ failover }) => failover.length > 0)
  const rows = stores.map(({ name, driver, failover, prefix, ttlMs }) => [
    name,
    driver ?? dim('none'),
    ...(hasFailover ? [failover.join(', ')] : []),
    printable(prefix ?? ''),
    prefix === null ? '' : ttlMs === null ? 'none' : duration(ttlMs),
  ])
  const sources = files.map(({ path, variables }) => `${path} (${count(variables, 'variable')})`)
  const from = sources.length === 0 ? '' : `\n${dim(`  Read from ${sources.join(', ')}.`)}`
  const head = ['store', 'driver', ...(hasFailover ? ['failover'] : []), 'prefix', 'ttl']
  return table(head.map(dim), rows) + from
}

/** Not a finding: each call may have a ttl, which cannot be seen from here. */
function ttlNote({ stores }: Diagnosis): string | undefined {
  const names = stores.filter(({ prefix, ttlMs }) => prefix !== null && ttlMs === null)
  if (names.length === 0) return undefined
  return `Values of ${names.map(({ name }) => name).join(' and ')} that are stored without a ttl never expire. CACHE_TTL sets one.`
}

/** The facts that have a column of their own, in this order. */
const columns = ['version', 'share', 'lag', 'memory', 'eviction', 'evictions', 'ttl', 'status']

/** Servers of the same stores are in one table. */
function printServers(all: readonly DoctorServer[], output: Output): void {
  const { bold } = output.colors
  const names = [...new Set(all.map(groupOf))]
  for (const stores of names) {
    const servers = all.filter((server) => groupOf(server) === stores)
    output.line(`\n${bold(`Backend of ${stores}`)}`)
    output.line(serverTable(servers, output) ?? serverList(servers, output))
  }
}

const groupOf = ({ stores }: DoctorServer) => stores.join(' and ')

/** `undefined` if the table is too wide. */
function serverTable(servers: readonly DoctorServer[], output: Output): string | undefined {
  const { dim, red } = output.colors
  const head = ['address', 'role', 'latency', ...columns]
  const rows = servers.map((server) => [server.address, server.role, ...cellsOf(server)])
  const isTooWide = table(head, rows)
    .split('\n')
    .some((line) => line.length > output.width)
  if (isTooWide) return undefined
  const colored = rows.map((row) => row.map((cell) => (cell === unreachable ? red(cell) : cell)))
  return table(head.map(dim), colored)
}

/** Two lines for each server. */
function serverList(servers: readonly DoctorServer[], output: Output): string {
  const { dim, red } = output.colors
  return servers
    .map((server) => {
      const [latency = '', ...facts] = cellsOf(server)
      const named = facts.flatMap((fact, index) => (fact === '' ? [] : `${columns[index]} ${fact}`))
      const text = wrap([server.role, latency, ...named].join(' · '), output.width, '    ')
      return `  ${server.address}\n${dim(text).replace(unreachable, red(unreachable))}`
    })
    .join('\n')
}

const unreachable = 'unreachable'

/** The latency, and the facts of the columns. */
function cellsOf({ isReachable, latencyMs, facts }: DoctorServer): string[] {
  const measured = latencyMs === undefined ? '' : `${latencyMs.toFixed(latencyMs >= 10 ? 0 : 1)} ms`
  return [
    isReachable ? measured : unreachable,
    ...columns.map((name) => printable(String(facts[name] ?? ''))),
  ]
}

/** Writes each finding with its remedy. */
export function printFindings(findings: readonly DoctorFinding[], output: Output): void {
  for (const finding of findings) printFinding(finding, output)
}

function printFinding(finding: DoctorFinding, output: Output): void {
  const { dim, red, yellow, bold } = output.colors
  const { code, severity, subject, problem, remedy, stores } = finding
  const mark = severity === 'error' ? red('✗') : yellow('!')
  const place = stores.length === 0 ? '' : `  ${dim(stores.join(', '))}`
  output.line(`  ${mark} ${bold(code)}  ${printable(subject)}${place}`)
  output.line(wrap(printable(problem), output.width, '    '))
  output.line(wrap(printable(remedy), output.width, '    → ').replace('→', dim('→')))
}

function summary({ errors, warnings, areBackendsChecked }: Diagnosis, output: Output): string {
  const { green, red, yellow } = output.colors
  const checked = areBackendsChecked
    ? ''
    : '\n  The backends were not checked, because the configuration is not valid.'
  if (errors + warnings === 0) return `  ${green('✓')} No problems found.`
  const color = errors > 0 ? red : yellow
  return `  ${color(`${count(errors, 'error')}, ${count(warnings, 'warning')}.`)}${checked}`
}
