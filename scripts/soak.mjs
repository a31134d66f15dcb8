// Runs a driver under load while its servers fail: npm run soak -- memcached [seconds]
import { readdirSync } from 'node:fs'
import { main, UserError } from './lib/cli.mjs'
import { prepare } from './lib/prepare.mjs'
import { ensurePrograms } from './lib/required-programs.mjs'

const folder = new URL('soak/', import.meta.url)

await main(async () => {
  const [name, ...args] = process.argv.slice(2)
  const names = readdirSync(folder).flatMap((file) => /^(.+)\.mjs$/.exec(file)?.[1] ?? [])
  if (!names.includes(name)) {
    throw new UserError(`Usage: npm run soak -- ${names.join('|')} [argument …]`)
  }
  await prepare()
  await ensurePrograms()
  const { soak } = await import(new URL(`${name}.mjs`, folder).href)
  return soak(args)
})
