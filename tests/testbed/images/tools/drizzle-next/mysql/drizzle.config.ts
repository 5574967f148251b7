export default { dialect: 'mysql', out: './drizzle', dbCredentials: { url: process.env.DATABASE_URL! } };
