import { definePrismaConfig } from '@prisma/cli-engine';
import { defineConfig } from '@prisma/orm-postgres/config';

// The contract is beside the migrations, where the tests put those of other states.
export default definePrismaConfig({
  orm: defineConfig({ contract: './migrations/contract.prisma', db: { connection: process.env['DATABASE_URL']! } }),
});
