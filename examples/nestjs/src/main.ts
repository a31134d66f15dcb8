import 'reflect-metadata'
import { type INestApplication, Module } from '@nestjs/common'
import { HttpAdapterHost, NestFactory } from '@nestjs/core'
import { CacheModule } from './cache.module.ts'
import { ProductsController } from './products.controller.ts'
import { UnavailableFilter } from './unavailable.filter.ts'

@Module({ imports: [CacheModule], controllers: [ProductsController] })
class AppModule {}

const app: INestApplication = await NestFactory.create(AppModule, { logger: ['error', 'warn'] })
app.useGlobalFilters(new UnavailableFilter(app.get(HttpAdapterHost).httpAdapter))
app.enableShutdownHooks()
await app.listen(Number(process.env.PORT ?? 3000), process.env.HOST ?? '127.0.0.1')
console.log(`Stowage NestJS example listening on ${await app.getUrl()}`)
