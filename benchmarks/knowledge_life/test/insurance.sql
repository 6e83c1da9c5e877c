CREATE TABLE insurers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, hotline TEXT, rating REAL);
CREATE TABLE plans (id INTEGER PRIMARY KEY, insurer_id INTEGER REFERENCES insurers(id), name TEXT NOT NULL,
  kind TEXT, premium_month NUMERIC, excess NUMERIC, max_cover NUMERIC, min_term_months INTEGER, online_only INTEGER);
CREATE TABLE extras (id INTEGER PRIMARY KEY, name TEXT, description TEXT);
CREATE TABLE plan_extras (plan_id INTEGER REFERENCES plans(id), extra_id INTEGER REFERENCES extras(id), surcharge NUMERIC);
INSERT INTO insurers VALUES (1,'Oakshield','01632 960 801',4.4),(2,'Beacon Mutual','01632 960 802',4.7),(3,'Fenwick & Daughters','01632 960 803',NULL);
INSERT INTO plans VALUES
 (1,1,'Home Basic','household',6.90,250,25000,12,1),
 (2,1,'Home Plus','household',11.40,100,60000,12,0),
 (3,2,'Nest','household',9.80,0,50000,1,0),
 (4,2,'Wheels','bicycle',4.20,50,1500,12,0),
 (5,3,'Pedal','bicycle',5.60,0,3000,6,1),
 (6,3,'Companion','pet',18.00,75,4000,12,0),
 (7,2,'Paws','pet',22.50,0,8000,12,0);
INSERT INTO extras VALUES (1,'Glass','broken windows and hobs'),(2,'Flood','flood and heavy rain'),(3,'Theft abroad','theft on journeys'),(4,'Dental','teeth of your pet');
INSERT INTO plan_extras VALUES (1,1,1.50),(2,1,0),(2,2,3.20),(3,2,2.90),(4,3,1.10),(5,3,0),(7,4,4.00);
