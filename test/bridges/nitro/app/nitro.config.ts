// What an application of Nitro writes. Its build knows no backend: the variables of the process choose it.
import { defineNitroConfig } from 'nitropack/config'

const { BUILD_FOLDER: folder, OTHER_REDIS_URL: url } = process.env

export default defineNitroConfig({
  compatibilityDate: '2026-01-01',
  buildDir: `${folder}/build`,
  output: { dir: `${folder}/output` },
  storage: {
    cache: { driver: './stowage-driver.ts', base: 'nitro', ttl: 3_600 },
    // The driver of unstorage, whose address is part of the build.
    other: { driver: 'redis', base: 'other', url },
  },
  routeRules: { '/rule': { swr: 1 } },
})
